//! Checks of requests: templates, bodies, and how answers are read.

use serde_json::Value;

use super::{Checker, properties};
use crate::manifest::http::{Body, Method, Request, Response};
use crate::manifest::model::Tool;
use crate::manifest::template::{Expansion, Part, Template, escape};

impl Checker<'_> {
    pub(super) fn request(&mut self, at: &str, tool: &Tool, request: &Request) -> Vec<String> {
        let mut templates = vec![(format!("{at}/path"), &request.path)];
        for (kind, map) in [("query", &request.query), ("headers", &request.headers)] {
            templates.extend(map.iter().map(|(name, template)| (format!("{at}/{kind}/{}", escape(name)), template)));
        }
        for name in request.headers.keys() {
            let place = format!("{at}/headers/{}", escape(name));
            self.header(&place, name);
            if request.body.is_some() && name.eq_ignore_ascii_case("content-type") {
                self.error(&place, "follows from the body; for `text` say it in `contentType`");
            }
        }
        let literal = |part: &Part| matches!(part, Part::Text(text) if text.contains(['?', '#']));
        if request.path.parts().iter().any(literal) {
            self.error(&format!("{at}/path"), "a path holds no `?` or `#`; parameters stand in `query`");
        }
        self.path_arguments(at, tool, request);
        if let Some(body) = &request.body {
            if matches!(request.method, Method::Get | Method::Head) {
                self.error(&format!("{at}/body"), "a GET or HEAD request has no body");
            }
            templates.extend(self.body(&format!("{at}/body"), body));
        }
        if let Some(response) = &request.response {
            self.response(&format!("{at}/response"), response);
        }
        let mut used = self.templates(tool, templates);
        let whole = request.body.iter().filter_map(|body| Some((format!("{at}/body/file"), body.file.as_ref()?)));
        let parts = request.body.iter().filter_map(|body| body.multipart.as_ref()).flat_map(|it| &it.files);
        let parts = parts.filter_map(|(name, part)| {
            Some((format!("{at}/body/multipart/files/{}/file", escape(name)), part.file.as_ref()?))
        });
        for (place, name) in whole.chain(parts) {
            self.file(&place, tool, name);
            used.push(name.clone());
        }
        used
    }

    /// A path cannot do without one of its arguments.
    fn path_arguments(&mut self, at: &str, tool: &Tool, request: &Request) {
        let required: Vec<&str> = tool
            .input_schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, expansion) in request.path.arguments() {
            let has_default = |property: &Value| property.get("default").is_some();
            let property = properties(&tool.input_schema).get(name);
            if property.is_some_and(|property| !has_default(property)) && !required.contains(&name) {
                self.error(
                    &format!("{at}/path"),
                    format!("`{name}` stands in the path, so it must be `required` or have a default"),
                );
            }
            if expansion == Expansion::Explode {
                self.error(&format!("{at}/path"), format!("`{{{name}*}}` cannot stand in a path; write `{{{name}}}`"));
            }
        }
    }

    fn body<'b>(&mut self, at: &str, body: &'b Body) -> Vec<(String, &'b Template)> {
        let Body { json, form, text, multipart, file, .. } = body;
        let forms = [json.is_some(), form.is_some(), text.is_some(), multipart.is_some(), file.is_some()];
        if forms.iter().filter(|form| **form).count() != 1 {
            self.error(at, "give exactly one of `json`, `form`, `text`, `multipart` and `file`");
        }
        if body.content_type.is_some() && body.text.is_none() {
            self.error(&format!("{at}/contentType"), "goes with `text` only");
        }
        let mut templates = Vec::new();
        if let Some(json) = &body.json {
            templates.extend(json.templates(&format!("{at}/json")));
        }
        if let Some(text) = &body.text {
            templates.push((format!("{at}/text"), text));
        }
        let named = |kind: &str, name: &str| format!("{at}/{kind}/{}", escape(name));
        for (name, template) in body.form.iter().flatten() {
            templates.push((named("form", name), template));
        }
        if let Some(multipart) = &body.multipart {
            templates
                .extend(multipart.fields.iter().map(|(name, template)| (named("multipart/fields", name), template)));
            for (name, file) in &multipart.files {
                let file_at = named("multipart/files", name);
                if file.data.is_some() == file.file.is_some() {
                    self.error(&file_at, "give either `data` or `file`");
                }
                templates.extend(file.data.iter().map(|data| (format!("{file_at}/data"), data)));
                templates.extend(file.filename.iter().map(|filename| (format!("{file_at}/filename"), filename)));
                templates.extend(file.content_type.iter().map(|kind| (format!("{file_at}/contentType"), kind)));
            }
        }
        templates
    }

    pub(super) fn response(&mut self, at: &str, response: &Response) {
        for (place, query) in response
            .select
            .iter()
            .map(|query| (format!("{at}/select"), query))
            .chain(response.drop.iter().enumerate().map(|(index, query)| (format!("{at}/drop/{index}"), query)))
        {
            if let Some(fault) = query.fault() {
                self.error(&place, fault);
            }
        }
        for (index, _) in response.drop.iter().enumerate().filter(|(_, query)| query.as_str().trim() == "$") {
            self.error(&format!("{at}/drop/{index}"), "leaves nothing of an answer");
        }
        let failures = response.failure.iter().enumerate();
        let failures = failures.map(|(index, mark)| (format!("{at}/failure/{index}/at"), &mark.at));
        let messages = response.message.iter().enumerate();
        let messages = messages.map(|(index, pointer)| (format!("{at}/message/{index}"), pointer));
        for (place, pointer) in failures.chain(messages) {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                self.error(&place, format!("`{pointer}` is no JSON pointer; it begins with `/`"));
            }
        }
    }
}
