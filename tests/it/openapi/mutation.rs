//! Broken documents: whatever stands in one, it is refused or read, in little time and without a fall.

use std::fmt::Write as _;

use super::*;

/// Numbers that are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // Steele and Vigna's SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// Values that mean something where others stand.
fn odd(numbers: &mut Numbers) -> Value {
    let odd = [
        json!(null),
        json!(true),
        json!(false),
        json!(-1),
        json!(1e300),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
        json!([]),
        json!({}),
        json!("\u{202e}\u{e0041}"),
        json!({ "$ref": "#" }),
        json!({ "$ref": "#/paths" }),
        json!({ "$ref": "x.yaml#/a" }),
        json!({ "$ref": "#/components/schemas/%zz" }),
        json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] }),
        json!("array"),
        json!(["object", "null", 7]),
        json!({ "type": "array" }),
        json!("{{{}}}"),
        json!("../..//{a}{b}?{c}#"),
        json!({ "": {} }),
        json!("é".repeat(300)),
        json!([[[[[[]]]]]]),
        json!({ "properties": { "a b": { "required": true } } }),
    ];
    let index = numbers.below(odd.len());
    odd.into_iter().nth(index).unwrap()
}

/// A place in a value, chosen by chance.
fn place<'v>(mut value: &'v mut Value, numbers: &mut Numbers) -> &'v mut Value {
    for _ in 0..=numbers.below(12) {
        let size = value.as_object().map(Map::len).or_else(|| value.as_array().map(Vec::len)).unwrap_or_default();
        if size == 0 {
            break;
        }
        let index = numbers.below(size);
        value = if value.is_object() {
            value.as_object_mut().unwrap().values_mut().nth(index).unwrap()
        } else {
            &mut value[index]
        };
    }
    value
}

#[test]
fn no_document_brings_the_conversion_down() {
    let documents: Vec<Value> = documents::documents()
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .filter(|text| text.len() < 60_000)
        .filter_map(|text| parse(&text).ok())
        .collect();
    let mut numbers = Numbers(7);
    let others = BTreeMap::new();
    for round in 0..2_000 {
        let mut document = documents[numbers.below(documents.len())].clone();
        for _ in 0..=numbers.below(4) {
            let value = if numbers.below(3) == 0 {
                // A piece of the document itself, where it does not belong.
                place(&mut document.clone(), &mut numbers).clone()
            } else {
                odd(&mut numbers)
            };
            *place(&mut document, &mut numbers) = value;
        }
        references(&document);
        let source = Source { document: &document, at: None, others: &others };
        let Ok(converted) = convert(&source, &settings(json!({}))) else { continue };
        // Compiling takes longest, so a tenth has to do.
        for tool in converted.tools.iter().filter(|_| round % 10 == 0).take(3) {
            assert_eq!(documents::wrong(tool), Vec::<String>::new(), "round {round}: {document}");
        }
    }
}

#[test]
fn no_text_brings_the_reader_down() {
    let texts: Vec<String> = documents::documents().iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let short: Vec<&String> = texts.iter().filter(|text| text.len() < 20_000).collect();
    let mut numbers = Numbers(11);
    for _ in 0..300 {
        let mut bytes = short[numbers.below(short.len())].clone().into_bytes();
        for _ in 0..=numbers.below(8) {
            let (at, to) = (numbers.below(bytes.len()), numbers.below(bytes.len()));
            match numbers.below(3) {
                0 => drop(bytes.drain(at.min(to)..at.max(to))),
                1 => bytes.extend_from_within(at.min(to)..at.max(to)),
                _ if at < bytes.len() => bytes[at] = b"{}[]\":,-&*!|>#%@`\n \0\xff"[numbers.below(21)],
                _ => {}
            }
        }
        drop(parse(&String::from_utf8_lossy(&bytes)));
    }
}

#[test]
fn a_document_that_multiplies_itself_is_cut() {
    // Each schema holds the next one twice, in three ways.
    let next = |n: usize| json!({ "$ref": format!("#/components/schemas/S{}", n + 1) });
    let mut schemas = Map::new();
    for n in 0..60 {
        schemas.insert(
            format!("S{n}"),
            json!({
                "allOf": [next(n), { "anyOf": [next(n), { "type": "object", "properties": { "x": next(n) } }] }],
                "properties": { "a": next(n), "b": next(n) }, "items": next(n)
            }),
        );
    }
    let mut paths = Map::new();
    for n in 0..300 {
        paths.insert(
            format!("/p{n}"),
            json!({ "post": { "requestBody": { "content": { "application/json": { "schema": next(0) } } } } }),
        );
    }
    let mut document = document(Value::Object(paths));
    document["components"] = json!({ "schemas": schemas });
    let converted = converted(&document, json!({}));
    assert_eq!(converted.tools.len() + converted.skipped.len(), 300);
    for tool in converted.tools.iter().take(3) {
        assert_eq!(documents::wrong(tool), Vec::<String>::new());
    }
}

#[test]
fn work_that_references_multiply_is_counted() {
    let words: Vec<String> = (0..300).map(|n| format!("word{n}")).collect();
    let options = vec![json!({ "enum": words }); 62];
    let patterns: Map<String, Value> = (0..100)
        .map(|n| {
            (format!("p{n}"), json!({ "type": "string", "pattern": format!("^[\\p{{L}}\\p{{N}}]{{4{n}}}\\w{{40}}$") }))
        })
        .collect();
    let described = |text: &str| json!({ "type": "string", "description": text.repeat((16 << 10) / text.len()) });
    let schemas = [
        ("&", described("&")),
        ("<a", described("<a")),
        ("[](", described("[](")),
        ("words", described("some words ")),
        ("allOf", json!({ "allOf": options })),
        ("patterns", json!({ "type": "object", "properties": patterns })),
    ];
    for (name, schema) in schemas {
        let parameters: Vec<Value> = (0..60)
            .map(|n| json!({ "name": format!("q{n}"), "in": "query", "schema": { "$ref": "#/components/schemas/S" } }))
            .collect();
        let item = json!({ "parameters": parameters, "get": {}, "put": {}, "post": {}, "patch": {}, "delete": {} });
        let paths: Map<String, Value> =
            (0..2).map(|n| (format!("/p{n}"), json!({ "$ref": "#/components/pathItems/I" }))).collect();
        let mut document = document(Value::Object(paths));
        document["components"] = json!({ "schemas": { "S": schema }, "pathItems": { "I": item } });
        let converted = converted(&document, json!({}));
        assert_eq!(converted.tools.len() + converted.skipped.len(), 10);
        let spent = converted.skipped.iter().filter(|it| it.reason.contains("takes more work")).count();
        assert!(name != "allOf" || spent == 10, "{name}: {:?}", converted.skipped);
    }
}

#[test]
fn yaml_that_multiplies_itself_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        writeln!(bomb, "a{n}: &a{n} [{items}]").unwrap();
    }
    assert!(parse(&bomb).is_err());
}
