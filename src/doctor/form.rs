//! The forms of a page, and what a person would fill in.

use html5gum::{HtmlString, StartTag, Token, Tokenizer};

/// The most of a page that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// What buttons say that agree.
const AGREE: &[&str] = &[
    "allow",
    "approve",
    "accept",
    "authorize",
    "authorise",
    "agree",
    "grant",
    "consent",
    "continue",
    "confirm",
    "yes",
];
/// What buttons say that do not.
const REFUSE: &[&str] =
    &["deny", "cancel", "reject", "decline", "refuse", "abort", "another", "switch", "not ", "back"];

/// A form.
#[derive(Debug, Default, Clone)]
pub(super) struct Form {
    /// Where it goes, as written.
    pub(super) action: Option<String>,
    pub(super) is_post: bool,
    pub(super) fields: Vec<Field>,
    buttons: Vec<Button>,
}

/// Something a form sends.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) kind: FieldKind,
}

/// What a field is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Hidden,
    /// A box that is ticked, or something else that has a value already.
    Given,
    User,
    Password,
    Code,
    /// A box to write something else in.
    Text,
}

#[derive(Debug, Clone, Default)]
struct Button {
    name: Option<String>,
    value: String,
    label: String,
    action: Option<String>,
}

/// What a form wants of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Password,
    /// The name alone; the password comes on the next page.
    User,
    Code,
    /// To agree.
    Consent,
    /// Nothing: a script would send it.
    Nothing,
    Unknown,
}

impl Form {
    /// What it wants.
    pub(super) fn wish(&self) -> Wish {
        let has = |kind| self.fields.iter().any(|field| field.kind == kind);
        if has(FieldKind::Password) {
            Wish::Password
        } else if has(FieldKind::Code) {
            Wish::Code
        } else if has(FieldKind::User) {
            Wish::User
        } else if has(FieldKind::Text) {
            Wish::Unknown
        } else if self.agreeing().is_some() {
            Wish::Consent
        } else if self.buttons.iter().all(|button| !button.refuses()) && !self.fields.is_empty() {
            Wish::Nothing
        } else {
            Wish::Unknown
        }
    }

    fn agreeing(&self) -> Option<&Button> {
        self.buttons.iter().find(|button| button.agrees())
    }

    /// What is sent when a person fills in this, and agrees; and where the button sends it, if it says so.
    pub(super) fn filled(&self, with: impl Fn(FieldKind) -> Option<String>) -> (Vec<(String, String)>, Option<String>) {
        let value = |field: &Field| with(field.kind).unwrap_or_else(|| field.value.clone());
        let named = self.fields.iter().filter(|field| !field.name.is_empty());
        let mut pairs: Vec<_> = named.map(|field| (field.name.clone(), value(field))).collect();
        let button = self.agreeing().or_else(|| self.buttons.iter().find(|button| !button.refuses()));
        pairs.extend(button.and_then(|button| Some((button.name.clone()?, button.value.clone()))));
        (pairs, button.and_then(|button| button.action.clone()).or_else(|| self.action.clone()))
    }
}

impl Button {
    fn says(&self, words: &[&str]) -> bool {
        let text = format!("{} {} ", self.value, self.label).to_lowercase();
        words.iter().any(|word| text.contains(word))
    }

    fn refuses(&self) -> bool {
        self.says(REFUSE)
    }

    fn agrees(&self) -> bool {
        self.says(AGREE) && !self.refuses()
    }
}

/// Every form of a page.
pub(super) fn forms(html: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut form: Option<Form> = None;
    // The button whose words are being read, and the list whose choice is.
    let (mut button, mut list): (Option<Button>, Option<Field>) = (None, None);
    for Ok(token) in Tokenizer::new(html.get(..LARGEST).unwrap_or(html)) {
        match token {
            Token::StartTag(tag) => match (tag.name.as_slice(), form.as_mut()) {
                (b"form", _) => {
                    forms.extend(form.take());
                    let is_post = attribute(&tag, "method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
                    form = Some(Form { action: attribute(&tag, "action"), is_post, ..Form::default() });
                }
                (b"input", Some(form)) => input(&tag, form),
                (b"textarea", Some(form)) => form.fields.extend(field(&tag, FieldKind::Given)),
                (b"select", Some(_)) => list = field(&tag, FieldKind::Given),
                (b"option", Some(_)) => choose(&tag, list.as_mut()),
                (b"button", Some(_))
                    if attribute(&tag, "type").is_none_or(|kind| kind.eq_ignore_ascii_case("submit")) =>
                {
                    button = Some(pressed(&tag));
                }
                _ => {}
            },
            Token::String(text) => {
                if let Some(button) = &mut button {
                    button.label.push_str(&String::from_utf8_lossy(&text.value));
                }
            }
            Token::EndTag(tag) => match tag.name.as_slice() {
                b"form" => forms.extend(form.take()),
                b"button" => {
                    if let (Some(form), Some(button)) = (form.as_mut(), button.take()) {
                        form.buttons.push(button);
                    }
                }
                b"select" => {
                    if let (Some(form), Some(list)) = (form.as_mut(), list.take()) {
                        form.fields.push(list);
                    }
                }
                _ => {}
            },
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    forms.extend(form);
    forms
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(&HtmlString(name.as_bytes().to_vec()))?;
    Some(String::from_utf8_lossy(&value.value).into_owned())
}

fn field(tag: &StartTag<()>, kind: FieldKind) -> Option<Field> {
    Some(Field { name: attribute(tag, "name")?, value: attribute(tag, "value").unwrap_or_default(), kind })
}

fn pressed(tag: &StartTag<()>) -> Button {
    let value = attribute(tag, "value").unwrap_or_default();
    Button { name: attribute(tag, "name"), value, label: String::new(), action: attribute(tag, "formaction") }
}

/// The first choice of a list, unless another is selected.
fn choose(tag: &StartTag<()>, list: Option<&mut Field>) {
    let Some(list) = list else { return };
    if list.value.is_empty() || attribute(tag, "selected").is_some() {
        list.value = attribute(tag, "value").unwrap_or_default();
    }
}

fn input(tag: &StartTag<()>, form: &mut Form) {
    let kind = attribute(tag, "type").unwrap_or_else(|| "text".into()).to_ascii_lowercase();
    let checked = attribute(tag, "checked").is_some();
    match kind.as_str() {
        "submit" | "image" => form.buttons.push(pressed(tag)),
        "hidden" => form.fields.extend(field(tag, FieldKind::Hidden)),
        "checkbox" | "radio" if checked => form.fields.extend(field(tag, FieldKind::Given).map(|field| Field {
            value: if attribute(tag, "value").is_none() { "on".into() } else { field.value.clone() },
            ..field
        })),
        "checkbox" | "radio" | "button" | "reset" | "file" => {}
        "password" => form.fields.extend(field(tag, FieldKind::Password)),
        _ => form.fields.extend(field(tag, kind_of_text(tag, &kind))),
    }
}

fn kind_of_text(tag: &StartTag<()>, kind: &str) -> FieldKind {
    let name = attribute(tag, "name").unwrap_or_default().to_ascii_lowercase();
    let hint = attribute(tag, "autocomplete").unwrap_or_default().to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if hint.contains("one-time-code") || ["code", "otp", "pin"].contains(&name.as_str()) {
        FieldKind::Code
    } else if kind == "email" || hint.contains("username") || is(&["user", "login", "email", "identifier", "account"]) {
        FieldKind::User
    } else {
        FieldKind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_form_is_recognised_and_filled() {
        let html = r#"<form method="post" action="/oauth/sign-in"><input type=hidden name=flow value="a&amp;b">
            <input name="username" autocomplete=username><input type="password" name="password">
            <button name="decision" value="go"><b>Sign in</b></button></form>"#;
        let form = forms(html).remove(0);
        assert_eq!((form.wish(), form.is_post), (Wish::Password, true));
        let (pairs, action) = form.filled(|kind| match kind {
            FieldKind::User => Some("ada".into()),
            FieldKind::Password => Some("secret".into()),
            FieldKind::Hidden | FieldKind::Given | FieldKind::Code | FieldKind::Text => None,
        });
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["flow=a&b", "username=ada", "password=secret", "decision=go"]);
        assert_eq!(action.as_deref(), Some("/oauth/sign-in"));
    }

    #[test]
    fn consent_presses_the_button_that_agrees() {
        let html = r"<form method=post><input type=hidden name=csrf value=1>
            <button name=decision value=deny>Do not allow</button><button name=decision value=allow>Allow</button></form>";
        let form = forms(html).remove(0);
        assert_eq!(form.wish(), Wish::Consent);
        assert_eq!(form.filled(|_| None).0[1], ("decision".into(), "allow".into()));
    }
}
