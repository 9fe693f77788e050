//! What a model should know to go on after a call: how the next page is had, and which tool takes what came back.

use std::collections::HashMap;

use super::{
    ApiTool,
    facts::{Facts, View},
    node::Node,
    output::Answer,
    text,
};
use crate::manifest::MOST_RELATIONS;

/// Links that are told of.
const MOST_LINKS: usize = 3;

/// Arguments that say where to go on, in letters only.
const CURSORS: &[&str] = &[
    "cursor",
    "pagetoken",
    "nexttoken",
    "nextpagetoken",
    "startcursor",
    "pagecursor",
    "nextcursor",
    "continuationtoken",
    "continue",
    "marker",
    "after",
    "startingafter",
    "starttoken",
    "paginationtoken",
    "offset",
];
/// What results call it.
const NEXT: &[&str] = &[
    "nextcursor",
    "nextpagetoken",
    "nexttoken",
    "continuationtoken",
    "nextmarker",
    "nextpagecursor",
    "endcursor",
    "continue",
    "nextoffset",
    "nextstartcursor",
    "paginationtoken",
];
/// Members of results in which it stands.
const HOLDERS: &[&str] =
    &["meta", "metadata", "pagination", "paging", "pageinfo", "responsemetadata", "nextpage", "page"];
/// What a result has when there is another page.
const MORE: &[&str] = &[
    "next",
    "nextpage",
    "hasmore",
    "hasnext",
    "hasnextpage",
    "total",
    "totalcount",
    "totalpages",
    "islast",
    "nextpageuri",
    "nextpageurl",
    "pagecount",
];

fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(60).map(|c| c.to_ascii_lowercase()).collect()
}

/// How the next page is had, when that is certain; `names` are the arguments and their names on the wire.
pub(super) fn pages<'a>(view: &View<'_, 'a>, answer: &Answer<'a>, names: &[(String, String)]) -> Option<String> {
    let argument = |known: &[&str]| {
        let mut found = names.iter().filter(|(_, wire)| known.contains(&letters(wire).as_str()));
        found.next().map(|(argument, _)| argument.as_str())
    };
    let (cursor, page) = (argument(CURSORS), argument(&["page", "pagenumber", "pageno", "pagenum"]));
    let offset = argument(&["offset", "skip", "startat", "startindex"]);
    if cursor.is_none() && page.is_none() && offset.is_none() {
        return None;
    }
    let result = answer.json().map(|schema| Facts::gather(view, &[schema], &[]));
    let members = result.as_ref().map(|result| &result.properties);
    if let (Some(cursor), Some(members)) = (cursor, members) {
        let direct = members.keys().find(|name| NEXT.contains(&letters(name).as_str())).map(|name| (*name).to_owned());
        let nested = || {
            members.iter().filter(|(name, _)| HOLDERS.contains(&letters(name).as_str())).find_map(
                |(holder, schemas)| {
                    let inner = Facts::gather(view, schemas, &[]);
                    let name = inner.properties.keys().find(|name| NEXT.contains(&letters(name).as_str()))?;
                    Some(format!("{holder}.{name}"))
                },
            )
        };
        if let Some(next) = direct.or_else(nested) {
            return Some(format!("For more, pass the result's `{}` as `{cursor}`.", text::line(&next, 100)));
        }
        if letters(cursor) == "startingafter" && members.keys().any(|name| letters(name) == "hasmore") {
            return Some(format!("For more, pass the last item's `id` as `{cursor}`."));
        }
    }
    let goes_on = members.is_some_and(|members| members.keys().any(|name| MORE.contains(&letters(name).as_str())))
        || answer.responses.iter().any(|it| {
            it.get("headers").is_some_and(|it| it.members().any(|(name, _)| name.eq_ignore_ascii_case("link")))
        });
    page.or(offset).filter(|_| goes_on).map(|it| format!("For more, raise `{it}`."))
}

/// Where an operation's results go.
pub(super) struct Leads {
    /// The operation's place.
    pub(super) place: String,
    pub(super) links: Vec<Link>,
    /// Whether its description tells of them.
    pub(super) told: bool,
}

/// A result's part that goes into another operation.
pub(super) struct Link {
    /// The other operation's place.
    target: String,
    /// The parameter's name there.
    parameter: String,
    from: String,
}

/// Which operations take what came back; `places` are theirs, by `operationId` and by place.
pub(super) fn links<'a>(view: &View<'_, 'a>, answer: &Answer<'a>, places: &HashMap<&str, &str>) -> Vec<Link> {
    let mut found = Vec::new();
    let links = answer.responses.iter().filter_map(|response| response.get("links")).flat_map(Node::members);
    for (_, link) in links.take(20) {
        let Ok(link) = view.documents.follow(link) else { continue };
        let target = match (link.text("operationId"), link.text("operationRef")) {
            (Some(id), _) => places.get(id),
            (None, Some(reference)) => reference.split_once('#').and_then(|(_, place)| places.get(place)),
            (None, None) => None,
        };
        let Some(target) = target else { continue };
        for (parameter, from) in link.get("parameters").into_iter().flat_map(Node::members).take(3) {
            let from = from.value.as_str().filter(|from| view.documents.read(from));
            let Some(from) = from.and_then(|from| from.strip_prefix("$response.body#/")) else { continue };
            let parameter = parameter.split_once('.').map_or(parameter, |(_, name)| name);
            let (parameter, from) = (text::line(parameter, 500), text::line(&from.replace('/', "."), 60));
            found.push(Link { target: (*target).to_owned(), parameter, from });
        }
    }
    found
}

/// Tells of links to operations that became tools, before the last line of each description. Tools are named by their
/// requests: what clients call them is decided later.
pub(super) fn tell(tools: &mut [ApiTool], leads: &[Leads]) {
    let by_place: HashMap<&str, usize> =
        tools.iter().enumerate().map(|(index, tool)| (tool.place.as_str(), index)).collect();
    let sentence = |link: &Link| {
        let target = tools.get(*by_place.get(link.target.as_str())?)?;
        let mut parameters = target.plan.parameters.iter().filter(|parameter| parameter.value.is_none());
        let argument = &parameters.find(|parameter| parameter.wire == link.parameter)?.argument;
        let request = text::line(&target.plan.request(), 300);
        Some(format!("The result's `{}` goes into the tool for `{request}` as `{argument}`.", link.from))
    };
    let mut said: Vec<(usize, String)> = Vec::new();
    let mut next: Vec<(usize, Vec<String>)> = Vec::new();
    for Leads { place, links, told } in leads {
        let Some(index) = by_place.get(place.as_str()) else { continue };
        let mut sentences: Vec<String> = links.iter().filter_map(sentence).take(MOST_LINKS).collect();
        sentences.dedup();
        if *told && !sentences.is_empty() {
            said.push((*index, sentences.join(" ")));
        }
        let after = links.iter().filter_map(|link| by_place.get(link.target.as_str())).filter(|after| *after != index);
        next.push((*index, after.filter_map(|after| Some(tools.get(*after)?.tool.name.clone())).collect()));
    }
    for (index, names) in next {
        let Some(tool) = tools.get_mut(index) else { continue };
        let precedes = &mut tool.tool.relations.precedes;
        for name in names {
            if precedes.len() < MOST_RELATIONS && !precedes.contains(&name) {
                precedes.push(name);
            }
        }
    }
    for (index, sentences) in said {
        let Some(tool) = tools.get_mut(index) else { continue };
        let description = &mut tool.tool.description;
        let last = description.rfind('\n').map_or(0, |end| end + 1);
        description.insert_str(last, &format!("{sentences}\n"));
    }
}
