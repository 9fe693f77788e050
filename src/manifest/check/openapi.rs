//! Checks of what a manifest says about an `OpenAPI` document and its operations.

use std::path::{Component, Path};

use serde_json::Value;
use url::Url;

use super::{Checker, compile};
use crate::manifest::openapi::{Choice, Mend, MendParameter, OpenApiSettings};
use crate::manifest::template::escape;
use crate::secret::Text;

/// What every client takes for a tool's name.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl Checker<'_> {
    pub(super) fn openapi(&mut self, settings: &OpenApiSettings) {
        self.spec(settings);
        if let Some(base) = &settings.base_url {
            self.text("/adapter/baseUrl", base);
        }
        for (name, value) in &settings.headers {
            let at = format!("/adapter/headers/{}", escape(name));
            self.header(&at, name);
            self.text(&at, value);
        }
        self.response("/adapter/response", &settings.response);
        for (kind, choices) in [("include", &settings.include), ("exclude", &settings.exclude)] {
            for (index, choice) in choices.iter().enumerate() {
                if *choice == Choice::default() {
                    self.error(&format!("/adapter/{kind}/{index}"), "says nothing, so it would choose everything");
                }
            }
        }
        for (id, mend) in &settings.operations {
            self.mend(&format!("/adapter/operations/{}", escape(id)), mend);
            let twin = settings.operations.iter().take_while(|(other, _)| *other != id);
            let mut twins = twin.filter(|(_, other)| mend.name.is_some() && other.name == mend.name);
            if let (Some((twin, _)), Some(name)) = (twins.next(), &mend.name) {
                let at = format!("/adapter/operations/{}/name", escape(id));
                self.error(&at, format!("`{name}` is the name of `{twin}` already"));
            }
        }
    }

    fn spec(&mut self, settings: &OpenApiSettings) {
        let at = "/adapter/spec";
        let Text(spec) = &settings.spec;
        self.text(at, &settings.spec);
        let is_address = spec.contains("://");
        // What a variable says is known only later.
        if !spec.contains("${") {
            if is_address {
                let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty();
                if !Url::parse(spec).is_ok_and(|url| fits(&url) && url.password().is_none()) {
                    self.error(at, "is no http or https address without a user name");
                }
            } else if spec.is_empty() {
                self.error(at, "has to be a file or an address");
            } else {
                self.below(at, Path::new(spec));
            }
            if !is_address && !settings.spec_headers.is_empty() {
                self.error("/adapter/specHeaders", "goes with a document at an address only");
            }
        }
        for (name, reference) in &settings.spec_headers {
            let at = format!("/adapter/specHeaders/{}", escape(name));
            self.header(&at, name);
            self.reference(&at, reference);
        }
        for (index, origin) in settings.allow_refs.iter().enumerate() {
            let plain = |url: &Url| {
                matches!(url.scheme(), "http" | "https")
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
            };
            if !Url::parse(origin).is_ok_and(|url| plain(&url)) {
                let message = "is no origin, such as `https://schemas.example.com`";
                self.error(&format!("/adapter/allowRefs/{index}"), message);
            }
        }
        for (index, overlay) in settings.overlays.iter().enumerate() {
            self.below(&format!("/adapter/overlays/{index}"), overlay);
        }
    }

    /// A file stands below the manifest's folder, or its whole path is given.
    fn below(&mut self, at: &str, path: &Path) {
        if !path.is_absolute() && path.components().any(|part| part == Component::ParentDir) {
            self.error(at, "leads out of the manifest's folder; give the whole path of a file elsewhere");
        }
    }

    fn mend(&mut self, at: &str, mend: &Mend) {
        if let Some(name) = mend.name.as_ref().filter(|name| !is_name(name)) {
            self.error(&format!("{at}/name"), format!("`{}` is no name: `[A-Za-z0-9_-]{{1,64}}`", name.escape_debug()));
        }
        if mend.annotations.read_only == Some(true) && mend.annotations.destructive == Some(true) {
            self.error(&format!("{at}/annotations/destructive"), "a tool that is read-only destroys nothing");
        }
        if mend.enabled == Some(false) && *mend != (Mend { enabled: Some(false), ..Mend::default() }) {
            self.warn(at, "it is left out, so what else is said of it means nothing");
        }
        self.retry(&format!("{at}/retry"), &mend.retry);
        if let Some(response) = &mend.response {
            self.response(&format!("{at}/response"), response);
        }
        for (name, parameter) in &mend.parameters {
            self.mend_parameter(&format!("{at}/parameters/{}", escape(name)), parameter);
        }
    }

    fn mend_parameter(&mut self, at: &str, parameter: &MendParameter) {
        let MendParameter { name, description, schema, default, value, hidden, required, file } = parameter;
        if value.is_some() {
            let unused = [
                ("default", default.is_some()),
                ("name", name.is_some()),
                ("description", description.is_some()),
                ("required", required.is_some()),
                ("file", file.is_some()),
            ];
            for (key, _) in unused.into_iter().filter(|(_, given)| *given) {
                self.error(&format!("{at}/{key}"), "means nothing beside `value`, which is always sent");
            }
        }
        if *hidden && *required == Some(true) && default.is_none() && value.is_none() {
            self.error(&format!("{at}/hidden"), "what has to be given cannot be hidden without a `default`");
        }
        if let Some(schema) = schema {
            match compile(&Value::Object(schema.clone())) {
                Err(message) => self.error(&format!("{at}/schema"), format!("not a usable JSON Schema: {message}")),
                Ok(validator) => {
                    for (key, given) in [("default", default), ("value", value)] {
                        if given.as_ref().is_some_and(|given| !validator.is_valid(given)) {
                            self.error(&format!("{at}/{key}"), "does not fit `schema`");
                        }
                    }
                }
            }
        }
    }
}
