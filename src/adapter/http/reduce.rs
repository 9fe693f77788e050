//! A large answer → a small result: what its manifest keeps, what it leaves out, and how many bytes are enough.
//! Values in, values out.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::{Value, json};

use crate::call::{Content, Output};
use crate::manifest::Response;

/// Lists that are cut in one result; what is too large then has no list that matters.
const LISTS: usize = 32;
/// Places named in the words about what is missing.
const NAMED: usize = 5;
/// How long texts are left, from the longest on: the same for all of them, so that the longest lose first.
const TEXTS: &[usize] = &[65_536, 16_384, 8192, 4096, 2048, 1024, 512, 256, 128, 64];

/// JSON as a result. `whole` is the answer's size: what queries find may be no more than that.
pub(super) fn json(value: Value, rules: &Response, whole: usize, wrapped: bool) -> Result<Output, String> {
    // What is promised as `{"result": …}` is that, be it an object itself or not.
    let made = |value| Output::json(if wrapped { json!({ "result": value }) } else { value });
    let mut value = match &rules.select {
        None => value,
        Some(query) => {
            let found = query.find(&value);
            // A query may find a value, and again what is within it.
            let mut bytes = 0_usize;
            let fits = found.iter().all(|found| {
                bytes = bytes.saturating_add(size(found));
                bytes <= whole.saturating_mul(2)
            });
            if !fits {
                return Err(format!("`{}` finds more than the upstream's answer has", query.as_str()));
            }
            match found.as_slice() {
                [] if query.is_singular() => {
                    return Err(format!("the upstream's answer has nothing at `{}`", query.as_str()));
                }
                [only] if query.is_singular() => (*only).clone(),
                found => found.iter().map(|found| (*found).clone()).collect(),
            }
        }
    };
    for query in &rules.drop {
        query.remove(&mut value);
    }
    let Some(most) = rules.max_bytes else { return Ok(made(value)) };
    let missing = cut(&mut value, most)?;
    let mut output = made(value);
    output.content.extend(said(&missing, most));
    Ok(output)
}

/// Anything else as a result.
pub(super) fn content(content: Content, most: Option<usize>) -> Result<Output, String> {
    let made = |content| Output { content: vec![content], ..Output::default() };
    let Some(most) = most else { return Ok(made(content)) };
    let bytes = content.size();
    if bytes <= most {
        return Ok(made(content));
    }
    let Content::Text(mut text) = content else {
        return Err(format!("the upstream's answer has {bytes} bytes, and {most} are allowed (`maxBytes`)"));
    };
    shorten(&mut text, most);
    let missing = format!("the last {} of {bytes} bytes", bytes.saturating_sub(text.len()));
    let mut output = made(Content::Text(text));
    output.content.extend(said(&[missing], most));
    Ok(output)
}

fn said(missing: &[String], most: usize) -> Option<Content> {
    let (named, rest) = missing.split_at(missing.len().min(NAMED));
    let more = if rest.is_empty() { String::new() } else { format!(", and more at {} other places", rest.len()) };
    let all = named.join(", ");
    let words = format!(
        "Left out, because a result has {most} bytes at most: {all}{more}. Ask for less at a time, or for the rest."
    );
    (!named.is_empty()).then_some(Content::Text(words))
}

/// Makes `value` no larger than `most` bytes, and says what is missing then.
fn cut(value: &mut Value, most: usize) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    for _ in 0..LISTS {
        let mut longest = (0, String::new());
        let all = measure(value, &mut String::new(), &mut longest);
        if all <= most {
            return Ok(missing);
        }
        let (removable, place) = longest;
        let Some(Value::Array(items)) = value.pointer_mut(&place).filter(|_| removable > 0) else { break };
        let (had, mut excess) = (items.len(), all - most);
        while excess > 0 && items.len() > 1 {
            let removed = items.pop().map_or(0, |item| size(&item) + 1);
            excess = excess.saturating_sub(removed);
        }
        let left_out = had - items.len();
        let of = if place.is_empty() { String::new() } else { format!(" of `{}`", crate::name::shown(&place)) };
        missing.push(format!("the last {left_out} of {had} items{of}"));
    }
    let mut texts = 0;
    for longest in TEXTS {
        texts = texts.max(shorten_all(value, *longest));
        if size(value) <= most {
            missing.push(format!("the ends of {texts} long texts"));
            return Ok(missing);
        }
    }
    let all = size(value);
    Err(format!(
        "the result has {all} bytes even without the ends of its lists and texts, and {most} are allowed (`maxBytes`); ask for less at a time"
    ))
}

/// The bytes of a value as JSON, and the list that would lose most if only its first item were left: a list goes
/// before those within its other items.
fn measure(value: &Value, at: &mut String, longest: &mut (usize, String)) -> usize {
    let depth = at.len();
    match value {
        Value::Array(items) => {
            let (mut all, mut removable) = (2, 0);
            for (index, item) in items.iter().enumerate() {
                let _ = write!(at, "/{index}");
                let bytes = measure(item, at, longest) + usize::from(index > 0);
                at.truncate(depth);
                all += bytes;
                removable += if index > 0 { bytes } else { 0 };
            }
            if removable > longest.0 {
                *longest = (removable, at.clone());
            }
            all
        }
        Value::Object(members) => {
            let mut all = 2;
            for (index, (name, member)) in members.iter().enumerate() {
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                all += size(name.as_str()) + 1 + usize::from(index > 0) + measure(member, at, longest);
                at.truncate(depth);
            }
            all
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => size(value),
    }
}

/// Shortens every text longer than `most` bytes; how many there are.
fn shorten_all(value: &mut Value, most: usize) -> usize {
    match value {
        Value::String(text) if text.len() > most => {
            shorten(text, most);
            1
        }
        Value::Array(items) => items.iter_mut().map(|item| shorten_all(item, most)).sum(),
        Value::Object(members) => members.values_mut().map(|member| shorten_all(member, most)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Cuts a text that is longer, between characters.
fn shorten(text: &mut String, most: usize) {
    const MARK: char = '…';
    text.truncate(text.floor_char_boundary(most.saturating_sub(MARK.len_utf8())));
    text.push(MARK);
}

/// The bytes of a value as JSON.
fn size(value: &(impl Serialize + ?Sized)) -> usize {
    let mut bytes = Counter(0);
    let _ = serde_json::to_writer(&mut bytes, value);
    bytes.0
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::call::{Content, Output};
    use crate::manifest::Response;

    fn shaped(value: Value, rules: Value) -> Result<Output, String> {
        let rules: Response = serde_json::from_value(rules).unwrap();
        let whole = value.to_string().len();
        super::json(value, &rules, whole, false)
    }

    #[track_caller]
    fn check(value: Value, rules: Value, expected: Value) {
        let output = shaped(value, rules).unwrap();
        assert_eq!(output.structured, Some(expected));
    }

    fn words(output: &Output) -> String {
        let text = |content: &Content| match content {
            Content::Text(text) => Some(text.clone()),
            Content::Image(..) | Content::Audio(..) | Content::Blob { .. } => None,
        };
        output.content.iter().skip(1).filter_map(text).collect()
    }

    #[test]
    fn a_query_for_one_value_gives_it_and_any_other_a_list() {
        let value = json!({"items": [{"id": 1, "x": 0}, {"id": 2}], "next": null});
        check(value.clone(), json!({"select": "$.items[0]"}), json!({"id": 1, "x": 0}));
        check(value.clone(), json!({"select": "$.items[*].id"}), json!({"result": [1, 2]}));
        check(value.clone(), json!({"select": "$.items[?@.id > 1]"}), json!({"result": [{"id": 2}]}));
        check(value.clone(), json!({"select": "$.nothing[*]"}), json!({"result": []}));
        assert!(shaped(value, json!({"select": "$.nothing"})).unwrap_err().contains("nothing at `$.nothing`"));
    }

    #[test]
    fn what_is_dropped_is_gone_wherever_it_stands() {
        let value = json!({"a": {"url": 1, "b": [{"url": 2}, {"c/~d": 3}, 4, 5]}, "url": {"url": 6}});
        check(value.clone(), json!({"drop": ["$..url"]}), json!({"a": {"b": [{}, {"c/~d": 3}, 4, 5]}}));
        check(
            value.clone(),
            json!({"drop": ["$.a.b[0,2,2]", "$.url"]}),
            json!({"a": {"url": 1, "b": [{"c/~d": 3}, 5]}}),
        );
        check(
            value.clone(),
            json!({"drop": ["$.a.b[1]['c/~d']", "$.a.b[?@ > 3]", "$.none"]}),
            json!({"a": {"url": 1, "b": [{"url": 2}, {}]}, "url": {"url": 6}}),
        );
        check(value, json!({"select": "$.a.b[*]", "drop": ["$[0]"]}), json!({"result": [{"c/~d": 3}, 4, 5]}));
    }

    #[test]
    fn many_items_are_dropped_as_fast_as_few() {
        let value = json!({ "items": (0..200_000).collect::<Vec<_>>() });
        let output = shaped(value, json!({"drop": ["$.items[?@ > 3]"]})).unwrap();
        assert_eq!(output.structured, Some(json!({"items": [0, 1, 2, 3]})));
    }

    #[test]
    fn of_a_long_list_whole_items_are_left_and_the_rest_is_counted() {
        let item = |id: u32| json!({"id": id, "text": "ab\"c".repeat(10), "tags": ["x", "y"]});
        let value = json!({"page": 1, "items": (0..100).map(item).collect::<Vec<_>>(), "total": 100});
        let output = shaped(value.clone(), json!({"maxBytes": 1000})).unwrap();
        let structured = output.structured.clone().unwrap();
        let kept = structured["items"].as_array().unwrap();
        assert!(structured.to_string().len() <= 1000 && !kept.is_empty());
        assert_eq!(kept[..], value["items"].as_array().unwrap()[..kept.len()]);
        assert_eq!((&structured["page"], &structured["total"]), (&json!(1), &json!(100)));
        let missing = format!("the last {} of 100 items of `/items`", 100 - kept.len());
        assert!(words(&output).contains(&missing), "{}", words(&output));
        // One item more would have been too many.
        assert!(structured.to_string().len() + item(9).to_string().len() + 1 > 1000);
    }

    #[test]
    fn a_result_that_is_small_enough_stays_as_it_is() {
        let value = json!({"items": ["x".repeat(100)]});
        let exact = value.to_string().len().max(256);
        let output = shaped(value.clone(), json!({ "maxBytes": exact })).unwrap();
        assert_eq!((output.structured, output.content.len()), (Some(value), 1));
    }

    #[test]
    fn the_outer_list_loses_its_items_before_those_within_it() {
        let group = |id: u32| json!({"id": id, "members": vec!["m".repeat(20); 10]});
        let output = shaped(json!([group(1), group(2), group(3)]), json!({"maxBytes": 600})).unwrap();
        assert_eq!(output.structured, Some(json!({"result": [group(1), group(2)]})));
        let single = json!([{ "members": vec!["m".repeat(20); 20] }]);
        let output = shaped(single, json!({"maxBytes": 256})).unwrap();
        let kept = output.structured.unwrap()["result"][0]["members"].as_array().unwrap().len();
        assert!((1..20).contains(&kept), "{kept}");
    }

    #[test]
    fn long_texts_lose_their_ends_between_characters() {
        let value = json!({"title": "short", "body": "ä".repeat(5000), "other": "€".repeat(300)});
        let output = shaped(value, json!({"maxBytes": 2000})).unwrap();
        let structured = output.structured.clone().unwrap();
        assert!(structured.to_string().len() <= 2000);
        assert_eq!(structured["title"], "short");
        assert_eq!(structured["other"], "€".repeat(300));
        assert!(structured["body"].as_str().unwrap().ends_with("ä…"));
        assert!(words(&output).contains("the ends of 1 long texts"), "{}", words(&output));
    }

    #[test]
    fn what_cannot_be_cut_is_refused_in_words() {
        let value: Value = (0..1000).map(|index| (format!("key{index}"), json!(index))).collect();
        assert!(shaped(value, json!({"maxBytes": 500})).unwrap_err().contains("ask for less"));
    }

    #[test]
    fn text_is_cut_and_bytes_are_refused() {
        let text = super::content(Content::Text("ü".repeat(500)), Some(300)).unwrap();
        let Some(Content::Text(kept)) = text.content.first() else { panic!("{text:?}") };
        assert!(kept.len() <= 300 && kept.ends_with("ü…"));
        assert!(words(&text).contains("of 1000 bytes"), "{}", words(&text));
        let image = |bytes: usize| super::content(Content::Image(vec![0; bytes].into(), "image/png".into()), Some(300));
        assert!(image(301).is_err() && image(300).is_ok());
    }
}
