//! Words that tell a model what to do beyond the tool they describe.
//!
//! Phrases are looked for word by word, with a few words of any kind allowed between; case, line breaks, marks between
//! words, characters that show nothing and letters that only look like Latin ones make no difference.

use std::borrow::Cow;

use unicode_security::skeleton;

use super::hidden::shows_nothing;

/// Phrases of one reason that are told; the others say the same.
const MOST: usize = 3;
/// Words that are looked at in one text.
const LONGEST: usize = 20_000;

/// A phrase: for each step, how many words may stand before it and which words it may be.
type Phrase = &'static [(usize, &'static [&'static str])];

const OVERRIDE: &str = "it tells the model to set its instructions aside";
const SECRET: &str = "it tells the model to keep something from the person";
const FIRST: &str = "it puts itself before other tools";
const HANDS_OVER: &str = "it asks for what the model knows of the person or of the conversation";
const ROLE: &str = "it tells the model to be somebody else";

const INSTRUCTIONS: &[&str] = &[
    "instruction",
    "instructions",
    "prompt",
    "prompts",
    "directive",
    "directives",
    "guideline",
    "guidelines",
    "guardrails",
];
const EARLIER: &[&str] = &["previous", "prior", "above", "earlier", "preceding", "former"];
const NOT: &[&str] = &["not", "never"];
const TELL: &[&str] =
    &["tell", "inform", "notify", "alert", "ask", "telling", "informing", "notifying", "alerting", "asking"];
const TELL_TO: &[&str] = &["mention", "reveal", "disclose", "show", "mentioning", "revealing", "disclosing", "showing"];
const PERSON: &[&str] = &["user", "human", "person", "operator"];
const USE: &[&str] = &["using", "calling", "invoking", "running", "executing", "use", "call", "invoke"];
const EVERY: &[&str] = &["any", "other", "all", "every"];
const TOOLS: &[&str] = &["tool", "tools", "function", "functions"];
const HAND: &[&str] = &[
    "send",
    "include",
    "pass",
    "put",
    "copy",
    "append",
    "attach",
    "forward",
    "write",
    "provide",
    "upload",
    "paste",
    "insert",
    "transmit",
    "post",
    "share",
    "exfiltrate",
    "leak",
    "summarize",
    "summarise",
];
const SECRETS: &[&str] = &["password", "passwords", "credential", "credentials", "secret", "secrets"];
/// Keys and tokens are secrets when they are such.
const OF_DOORS: &[&str] = &["api", "access", "private", "ssh", "auth", "session", "login"];
const KEYS: &[&str] = &["key", "keys", "token", "tokens", "cookies"];
/// Names of arguments that are for what was said so far.
const CONVERSATION: &[&str] = &[
    "conversationhistory",
    "fullconversation",
    "entireconversation",
    "chathistory",
    "conversationcontext",
    "chatcontext",
    "previousmessages",
];

const PHRASES: &[(&str, Phrase)] = &[
    (OVERRIDE, &[(0, &["ignore", "disregard", "forget", "override", "bypass"]), (2, EARLIER), (3, INSTRUCTIONS)]),
    (
        OVERRIDE,
        &[
            (0, &["ignore", "disregard", "forget", "override", "bypass"]),
            (2, &["all", "any", "your", "developer", "safety"]),
            (2, INSTRUCTIONS),
        ],
    ),
    (OVERRIDE, &[(0, &["ignore", "disregard", "forget"]), (2, &["system"]), (2, INSTRUCTIONS)]),
    (
        OVERRIDE,
        &[
            (0, &["ignore", "disregard", "forget"]),
            (2, EARLIER),
            (1, &["rules", "messages", "context", "conversation"]),
        ],
    ),
    (OVERRIDE, &[(0, &["ignore", "disregard", "forget"]), (1, &["everything", "anything"]), (2, EARLIER)]),
    (
        OVERRIDE,
        &[(0, &["new", "updated", "real", "actual"]), (1, &["system"]), (0, &["instructions", "prompt", "message"])],
    ),
    (SECRET, &[(0, &["do", "must", "should", "shall"]), (1, NOT), (1, TELL), (3, PERSON)]),
    (SECRET, &[(0, &["do", "must", "should", "shall"]), (1, NOT), (1, TELL_TO), (4, &["to"]), (1, PERSON)]),
    (SECRET, &[(0, &["don't", "dont", "never"]), (0, TELL), (3, PERSON)]),
    (SECRET, &[(0, &["don't", "dont", "never"]), (0, TELL_TO), (4, &["to"]), (1, PERSON)]),
    (
        SECRET,
        &[
            (0, &["without"]),
            (1, &["telling", "informing", "mentioning", "revealing", "disclosing", "notifying", "alerting", "asking"]),
            (2, PERSON),
        ],
    ),
    (
        SECRET,
        &[
            (0, PERSON),
            (0, &["must", "should", "may", "can"]),
            (0, NOT),
            (1, &["see", "know", "notice", "learn", "find"]),
        ],
    ),
    (SECRET, &[(0, PERSON), (1, NOT), (0, &["need"]), (0, &["to"]), (0, &["know", "see"])]),
    (SECRET, &[(0, &["hide", "conceal"]), (2, &["this", "these", "it", "that"]), (2, &["from"]), (2, PERSON)]),
    (FIRST, &[(0, &["before"]), (1, USE), (2, EVERY), (2, TOOLS)]),
    (FIRST, &[(0, &["before"]), (0, EVERY), (1, TOOLS)]),
    (FIRST, &[(0, &["prior"]), (0, &["to"]), (2, EVERY), (2, TOOLS)]),
    (FIRST, &[(0, &["always"]), (0, &["call", "use", "invoke", "run"]), (0, &["this"]), (2, &["first"])]),
    (FIRST, &[(0, &["instead", "rather", "ahead"]), (0, &["of", "than"]), (1, EVERY), (2, TOOLS)]),
    (FIRST, &[(0, NOT), (1, &["use", "call", "invoke", "trust"]), (1, &["any"]), (0, &["other"]), (1, TOOLS)]),
    (
        HANDS_OVER,
        &[
            (0, HAND),
            (4, &["conversation", "chat", "dialogue"]),
            (1, &["history", "log", "transcript", "context", "messages"]),
        ],
    ),
    (
        HANDS_OVER,
        &[(0, HAND), (3, &["entire", "whole", "full", "complete"]), (1, &["conversation", "chat", "context"])],
    ),
    (HANDS_OVER, &[(0, HAND), (3, &["system", "developer"]), (0, &["prompt", "message", "instructions"])]),
    (HANDS_OVER, &[(0, HAND), (1, &["any", "all"]), (3, SECRETS)]),
    (HANDS_OVER, &[(0, HAND), (1, &["any", "all"]), (2, OF_DOORS), (0, KEYS)]),
    (
        HANDS_OVER,
        &[
            (0, HAND),
            (1, &["user's", "person's", "human's"]),
            (1, &["messages", "conversation", "conversations", "prompts", "chat"]),
        ],
    ),
    (HANDS_OVER, &[(0, HAND), (3, &["environment", "env"]), (0, &["variables", "vars"])]),
    (
        ROLE,
        &[
            (0, &["you"]),
            (0, &["are"]),
            (0, &["now"]),
            (3, &["assistant", "agent", "mode", "admin", "administrator", "unrestricted", "developer", "root"]),
        ],
    ),
    (ROLE, &[(0, &["you"]), (0, &["are"]), (0, &["no"]), (0, &["longer"])]),
];

/// Marks that clothe text as somebody else's word: the beginning, and what has to stand behind it anywhere.
const MARKS: &[(&str, &str)] = &[
    ("<important", ""),
    ("<system", "</system"),
    ("<instructions", "</instructions"),
    ("<hidden", "</hidden"),
    ("<secret", "</secret"),
    ("<assistant", "</assistant"),
    ("<|im_start|>", ""),
    ("<|system|>", ""),
    ("<|user|>", ""),
    ("<|assistant|>", ""),
    ("[inst]", ""),
    ("<<sys>>", ""),
    ("[system message", ""),
    ("</tool", ""),
];

/// Files in which people keep what opens other doors.
const FILES: &[&str] = &[
    ".ssh/",
    "id_rsa",
    "id_ed25519",
    ".aws/credentials",
    ".kube/config",
    ".git-credentials",
    ".netrc",
    "/etc/passwd",
    "/etc/shadow",
    "mcp.json",
    "claude_desktop_config",
    "wallet.dat",
    "~/.env",
    "~/.cursor",
];

/// Styles by which a page shows nothing of a text.
const UNSEEN: &[&str] =
    &["display:none", "display: none", "visibility:hidden", "visibility: hidden", "font-size:0", "opacity:0"];

/// Where a text speaks to the model (in bytes), and what it says.
pub(super) fn find(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = found(text);
    if let Some((at, decoded)) = decoded(text) {
        found.extend(self::found(&decoded).into_iter().map(|(_, reason)| (at, reason)));
        found.sort_unstable();
        found.dedup();
    }
    found
}

/// Whether an argument is called so that a model fills in what was said so far.
pub(super) fn wants_conversation(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    CONVERSATION.contains(&plain.as_str())
}

/// A text with its numeric character references resolved, and where the first one is.
fn decoded(text: &str) -> Option<(usize, String)> {
    let first = text.find("&#")?;
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split("&#");
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.split_once(';').map(|(digits, rest)| (digits.to_ascii_lowercase(), rest));
        let number = digits.as_ref().and_then(|(digits, _)| match digits.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        });
        if let (Some(c), Some((_, rest))) = (number.and_then(char::from_u32), digits) {
            plain.push(c);
            plain.push_str(rest);
        } else {
            plain.push_str("&#");
            plain.push_str(piece);
        }
    }
    Some((first, plain))
}

fn found(text: &str) -> Vec<(usize, &'static str)> {
    let words = words(text);
    let mut found = Vec::new();
    let mut told: Vec<(&str, usize)> = Vec::new();
    for start in 0..words.len() {
        let Some((_, rest)) = words.split_at_checked(start) else { break };
        let hit = PHRASES.iter().find(|(_, phrase)| fits(rest, phrase));
        let (Some((reason, _)), Some((at, _))) = (hit, rest.first()) else { continue };
        let asked =
            start.checked_sub(1).and_then(|before| words.get(before)).is_some_and(|(_, word)| word == "whether");
        if *reason == ROLE && asked {
            continue;
        }
        match told.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) if *count >= MOST => continue,
            Some((_, count)) => *count += 1,
            None => told.push((reason, 1)),
        }
        found.push((*at, *reason));
    }
    // ASCII letters keep their places when they are made small.
    let small = text.to_ascii_lowercase();
    for (mark, end) in MARKS {
        if let Some(at) = small.find(mark).filter(|at| small.get(*at..).is_some_and(|rest| rest.contains(end))) {
            found.push((at, "it is marked as the word of somebody else than its author"));
        }
    }
    // What is quoted as code is shown.
    let quoted = |at: usize| small.get(..at).is_some_and(|before| before.ends_with('`'));
    let mut comments = small.match_indices("<!--").chain(small.match_indices("[//]:"));
    if let Some((at, _)) = comments.find(|(at, _)| !quoted(*at)) {
        found.push((at, "a comment that is not shown where text is shown as Markdown or HTML"));
    }
    if let Some(at) = small.find("style=").filter(|_| UNSEEN.iter().any(|style| small.contains(style))) {
        found.push((at, "text that is not shown where text is shown as HTML"));
    }
    for file in FILES {
        if let Some(at) = small.find(file) {
            found.push((at, "it names a file in which people keep secrets"));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether words begin with a phrase.
fn fits(words: &[(usize, Cow<'_, str>)], phrase: Phrase) -> bool {
    let Some(((_, first), steps)) = phrase.split_first() else { return false };
    let Some(((_, word), mut rest)) = words.split_first() else { return false };
    if !first.contains(&word.as_ref()) {
        return false;
    }
    for (gap, wanted) in steps {
        let at = rest.iter().take(gap + 1).position(|(_, word)| wanted.contains(&word.as_ref()));
        let Some((_, after)) = at.and_then(|at| rest.split_at_checked(at + 1)) else { return false };
        rest = after;
    }
    true
}

/// The words of a text in small Latin letters, as far as they look like that, each with its place.
fn words(text: &str) -> Vec<(usize, Cow<'_, str>)> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '’') || shows_nothing(c);
    let mut words = Vec::new();
    let mut at = 0;
    for piece in text.split_inclusive(|c: char| !inside(c)) {
        let word = piece.trim_matches(|c: char| !inside(c) || c == '\'');
        if !word.is_empty() {
            words.push((at + (piece.len() - piece.trim_start_matches(|c: char| !inside(c)).len()), plain(word)));
        }
        at += piece.len();
        if words.len() >= LONGEST {
            break;
        }
    }
    words
}

fn plain(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.into();
    }
    if word.is_ascii() {
        let small = word.to_ascii_lowercase();
        let has_letters = small.bytes().any(|byte| byte.is_ascii_lowercase());
        return if has_letters { small.chars().map(letter).collect::<String>().into() } else { small.into() };
    }
    // In small letters first: a capital may look like a small letter of another kind.
    let word = word.to_lowercase();
    let latin = word.chars().filter(|c| !shows_nothing(*c)).flat_map(|c| {
        let mut letter = [0; 4];
        let looks: String = if c == '’' { "'".into() } else { skeleton(c.encode_utf8(&mut letter)).collect() };
        let looks = if c.is_ascii() || !looks.is_ascii() { c.to_string() } else { looks };
        looks.chars().collect::<Vec<_>>()
    });
    latin.collect::<String>().into()
}

/// The letter that a digit among letters stands for.
fn letter(c: char) -> char {
    match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        c => c,
    }
}

/// Words of a text that may be published names of tools, each with its place.
pub(super) fn names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut at = 0;
    text.split_inclusive(move |c: char| !inside(c)).filter_map(move |piece| {
        let word = piece.trim_matches(|c: char| !inside(c));
        let place = at;
        at += piece.len();
        word.contains('_').then_some((place, word))
    })
}
