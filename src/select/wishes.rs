//! A sentence that wants several things, taken apart.

/// More wishes than these are looked at as one.
const MOST: usize = 4;
/// Fewer words say no wish of their own.
const LEAST: usize = 3;
/// What stands between two wishes.
const CUTS: &[&str] = &[
    ", and then ",
    " and then ",
    ", and ",
    ", then ",
    " then ",
    " also ",
    " after that ",
    " as well as ",
    " and ",
    ". ",
    "? ",
    "! ",
    "; ",
    ", ",
    "\n",
    "。",
    "，",
    "；",
    "？",
    "！",
    "、",
];

/// The wishes of a sentence; one, when it cannot be taken apart. What is too short goes with what is before it.
pub(super) fn wishes(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let mut found: Vec<String> = Vec::new();
    let mut wish = String::new();
    let mut rest = text.as_str();
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = CUTS.iter().find_map(|cut| rest.strip_prefix(cut)) {
            end(&mut wish, &mut found);
            rest = after;
        } else {
            wish.push(letter);
            rest = rest.strip_prefix(letter).unwrap_or_default();
        }
    }
    end(&mut wish, &mut found);
    found.truncate(MOST);
    found
}

fn end(wish: &mut String, found: &mut Vec<String>) {
    let words = wish.split_whitespace().count();
    // A writing without spaces has no words to count, but letters that say more.
    let is_short = words < LEAST && wish.chars().filter(|letter| !letter.is_ascii()).count() < LEAST;
    match found.last_mut() {
        _ if words == 0 => {}
        Some(last) if is_short => {
            last.push(' ');
            last.push_str(wish);
        }
        Some(_) | None => found.push(wish.clone()),
    }
    wish.clear();
}

#[cfg(test)]
mod tests {
    use super::wishes;

    #[test]
    fn a_sentence_is_taken_apart_where_it_wants_something_new() {
        assert_eq!(
            wishes("Find the latest invoice, and then mail it to Ann. Also book a flight"),
            ["find the latest invoice", "mail it to ann", "also book a flight"]
        );
        assert_eq!(wishes("list issues and pull requests"), ["list issues pull requests"]);
        assert_eq!(wishes("查询北京的天气，然后订一张机票"), ["查询北京的天气", "然后订一张机票"]);
        assert!(wishes("").is_empty());
    }
}
