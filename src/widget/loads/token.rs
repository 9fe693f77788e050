//! The tags and texts of a page.
//!
//! The tokenizer's own tokens include its complaints, of which a hostile page has one for each byte.

use std::mem;

use html5gum::{
    Span, StringReader, Tokenizer,
    emitters::callback::{Callback, CallbackEmitter, CallbackEvent},
};

/// A piece of a page.
pub(super) enum Token {
    Start(Tag),
    /// The name of an element that ends.
    End(String),
    Text(String),
}

/// The beginning of an element. Names are in lower case.
#[derive(Debug, Default)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) self_closing: bool,
}

impl Tag {
    /// The value of an attribute; of several, the first counts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether an attribute is this word.
    pub(super) fn is(&self, name: &str, word: &str) -> bool {
        self.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    }
}

/// Takes a page apart. Whoever reads it tells it which elements hold text only.
pub(super) fn tokens(html: &str) -> Tokenizer<StringReader<'_>, CallbackEmitter<Gather, Token>> {
    Tokenizer::new_with_emitter(html, CallbackEmitter::new(Gather::default()))
}

/// The tag that is being read.
#[derive(Debug, Default)]
pub(super) struct Gather {
    tag: Tag,
}

impl Callback<Token, ()> for Gather {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Token> {
        match event {
            CallbackEvent::OpenStartTag { name } => self.tag = Tag { name: text(name), ..Tag::default() },
            CallbackEvent::AttributeName { name } => self.tag.attributes.push((text(name), String::new())),
            CallbackEvent::AttributeValue { value } => {
                if let Some((_, last)) = self.tag.attributes.last_mut() {
                    last.push_str(&String::from_utf8_lossy(value));
                }
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                return Some(Token::Start(Tag { self_closing, ..mem::take(&mut self.tag) }));
            }
            CallbackEvent::EndTag { name } => {
                self.tag = Tag::default();
                return Some(Token::End(text(name)));
            }
            CallbackEvent::String { value } => return Some(Token::Text(text(value))),
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
        }
        None
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
