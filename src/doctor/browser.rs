//! A person's browser, as far as a sign-in by simple forms needs one.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::SignIn;
use super::cookies::Cookies;
use super::form::{FieldKind, Form, Wish, forms};
use super::tour::Tour;
use super::wire::{Answer, Wanted, is_safe, plain};

/// Pages and redirects of one sign-in.
const MOST_PAGES: usize = 20;
const USER_AGENT: &str = concat!("Mozilla/5.0 (compatible; switchboard-doctor/", env!("CARGO_PKG_VERSION"), ")");

#[derive(Debug, Default)]
pub(super) struct Browser {
    cookies: Cookies,
    /// Whether a person was asked for a code. Once is enough.
    asked: bool,
}

/// Why a sign-in did not come to its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// A person has to say who they are, and we were not told.
    Person(&'static str),
    /// A page we cannot read.
    NoForm(String),
    /// What we were told does not count there.
    Refused,
    /// A page that says that something is wrong.
    Fault(String),
}

/// What the browser was sent back with.
pub(super) type Returned = Vec<(String, String)>;

/// A request of the browser.
struct Going {
    url: Url,
    /// The form it sends, and the page that holds it.
    form: Option<(Vec<(String, String)>, Url)>,
}

impl<P> Tour<'_, P> {
    /// The first page at an address.
    pub(super) async fn open(&mut self, url: &Url) -> Result<Answer, String> {
        self.browse(&Going { url: url.clone(), form: None }).await
    }

    /// Signs in and agrees, until the browser is sent to `redirect`.
    pub(super) async fn sign_in(&mut self, start: Url, redirect: &Url) -> Result<Returned, Halt> {
        let home = start.origin();
        let mut going = Going { url: start, form: None };
        let mut told = false;
        for _ in 0..MOST_PAGES {
            let answer = self.browse(&going).await.map_err(Halt::Fault)?;
            if let Some(target) = answer.leads_to(&going.url) {
                if is_at(&target, redirect) {
                    return Ok(target.query_pairs().into_owned().collect());
                }
                if !is_safe(&target) {
                    return Err(Halt::Fault(format!("it leads to {}, which is not https", plain(&target))));
                }
                let again = matches!(answer.status, 307 | 308);
                going = Going { url: target, form: going.form.filter(|_| again) };
                continue;
            }
            let all = forms(&answer.body);
            let Some(form) = choose(&all) else {
                let fault = answer.status >= 400;
                let page = format!("{} answers {}", plain(&going.url), answer.summary());
                return Err(if fault { Halt::Fault(page) } else { Halt::NoForm(page) });
            };
            self.judge_page(&answer);
            let wish = form.wish();
            let asks = matches!(wish, Wish::Password | Wish::Code | Wish::User);
            if asks && going.url.origin() != home {
                return Err(Halt::NoForm(format!("people sign in at another address, {}", plain(&going.url))));
            }
            if told && matches!(wish, Wish::Password | Wish::Code) {
                return Err(Halt::Refused);
            }
            let sent = self.fill(form).await?;
            told = told || matches!(wish, Wish::Password | Wish::Code);
            let target = match &sent.1 {
                Some(action) => going.url.join(action).map_err(|_| Halt::NoForm("a form leads nowhere".into()))?,
                None => going.url.clone(),
            };
            if is_at(&target, redirect) {
                return Ok(sent.0);
            }
            if asks && target.origin() != home {
                return Err(Halt::NoForm(format!("the form sends passwords to {}", plain(&target))));
            }
            going = step(form, sent.0, target, going.url);
        }
        Err(Halt::Fault(format!("it goes on for more than {MOST_PAGES} pages")))
    }

    async fn fill(&mut self, form: &Form) -> Result<(Vec<(String, String)>, Option<String>), Halt> {
        let nothing = |_| None;
        match (form.wish(), &self.visit.sign_in) {
            (Wish::Password | Wish::User, SignIn::Password { user, password }) => Ok(form.filled(|kind| match kind {
                FieldKind::User | FieldKind::Text => Some(user.clone()),
                FieldKind::Password => Some(password.expose_secret().to_owned()),
                FieldKind::Hidden | FieldKind::Given | FieldKind::Code => None,
            })),
            (Wish::Code, SignIn::Code(ask)) if !self.browser.asked => {
                self.browser.asked = true;
                let ask = std::sync::Arc::clone(ask);
                let code = tokio::task::spawn_blocking(move || ask()).await.ok().flatten();
                let code: SecretString = code.ok_or(Halt::Person("a one-time code"))?;
                Ok(form.filled(|kind| (kind == FieldKind::Code).then(|| code.expose_secret().trim().to_owned())))
            }
            (Wish::Password | Wish::User, _) => Err(Halt::Person("a user name and a password")),
            (Wish::Code, _) => Err(Halt::Person("a one-time code")),
            (Wish::Consent | Wish::Nothing, _) => Ok(form.filled(nothing)),
            (Wish::Unknown, _) => Err(Halt::NoForm("a form asks for something else than a name and a password".into())),
        }
    }

    async fn browse(&mut self, going: &Going) -> Result<Answer, String> {
        let method = if going.form.is_some() { Method::POST } else { Method::GET };
        let mut request = self.wire.request(method, going.url.clone()).header("User-Agent", USER_AGENT);
        request = request.header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        if let Some(cookies) = self.browser.cookies.header(&going.url) {
            request = request.header("Cookie", cookies);
        }
        if let Some((pairs, page)) = &going.form {
            request = request.header("Origin", page.origin().ascii_serialization()).header("Referer", plain(page));
            request = request.form(pairs);
        }
        let answer = self.wire.send(request, Wanted::InTime).await?;
        self.browser.cookies.keep(&going.url, &answer);
        Ok(answer)
    }

    /// What the headers of a page with a form leave open.
    fn judge_page(&mut self, answer: &Answer) {
        let policy = answer.header("content-security-policy").unwrap_or_default();
        if !policy.contains("frame-ancestors") && answer.header("x-frame-options").is_none() {
            self.warn(
                "the sign-in page can be shown inside other pages",
                "a page of somebody else's can lay itself over it and make people agree without knowing (clickjacking)",
                "send `Content-Security-Policy: frame-ancestors 'none'` with the sign-in pages",
            );
        }
        if answer.header("cross-origin-opener-policy").is_some_and(|policy| policy.starts_with("same-origin")) {
            self.note(
                "the sign-in page cuts its tie to the window that opened it (`Cross-Origin-Opener-Policy`)",
                "clients that open it as a pop-up then wait in vain for its end",
                "send `Cross-Origin-Opener-Policy: unsafe-none` with the sign-in pages",
            );
        }
    }
}

fn step(form: &Form, pairs: Vec<(String, String)>, mut target: Url, page: Url) -> Going {
    if form.is_post {
        return Going { url: target, form: Some((pairs, page)) };
    }
    target.query_pairs_mut().clear().extend_pairs(&pairs);
    Going { url: target, form: None }
}

/// The form a person would use: the one that asks who they are, else the one that asks to agree.
fn choose(all: &[Form]) -> Option<&Form> {
    let order = [Wish::Password, Wish::Code, Wish::User, Wish::Consent, Wish::Nothing];
    order.iter().find_map(|wish| all.iter().find(|form| form.wish() == *wish))
}

/// Whether an address is this one, whatever its query.
fn is_at(url: &Url, wanted: &Url) -> bool {
    url.origin() == wanted.origin() && url.path() == wanted.path() && url.scheme() == wanted.scheme()
}
