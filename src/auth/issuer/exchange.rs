//! Codes and the token endpoint: a code becomes tokens once, and tokens become new ones.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Answer, Refusal};
use super::client::{Client, Kind};
use super::flow::Ask;
use super::grant::{Grant, Grants, Shown, Turned};
use super::parameters::Parameters;
use super::people::Person;
use super::shelf::{Kept, after, fresh};
use super::token::spelled;
use super::{Issuer, Trouble, random};
use crate::store::Expected;

/// A code is good for this long.
const CODE: Duration = Duration::from_mins(1);
/// A code that was used is remembered for this long, to notice when it is shown again.
const USED: Duration = Duration::from_hours(24);

/// What is kept of a code.
#[derive(Serialize, Deserialize)]
struct Code {
    client: String,
    #[serde(default)]
    client_name: String,
    redirect: String,
    challenge: String,
    person: Person,
    scopes: BTreeSet<String>,
    /// The grant that came of it.
    used: Option<String>,
}

fn key(code: &str) -> String {
    format!("auth/code/{}", random::fingerprint(code))
}

type Outcome = Result<Result<Answer, Refusal>, Trouble>;

impl Issuer {
    /// The person said yes, now or before: back to the client with a code.
    pub(super) async fn allow(
        &self,
        ask: &Ask,
        person: Person,
        scopes: BTreeSet<String>,
        cookie: Option<String>,
    ) -> Result<Answer, Trouble> {
        if ask.kind == Kind::Registered {
            self.registry.used(&ask.client).await?;
        }
        let code = random::word()?;
        tracing::info!(client = ask.client, subject = person.subject, "a client may act for somebody");
        let record = Code {
            client: ask.client.clone(),
            client_name: ask.client_name.clone(),
            redirect: ask.redirect.clone(),
            challenge: ask.challenge.clone(),
            person,
            scopes,
            used: None,
        };
        self.shelf.keep(&key(&code), &record, fresh(CODE)).await?;
        Ok(self.send_back(&ask.redirect, ask.state.as_deref(), &[("code", &code)], cookie))
    }

    /// The token endpoint. `authorization` is the header of that name.
    pub async fn token(&self, form: &Parameters, authorization: Option<&str>) -> Answer {
        told(self.exchanged(form, authorization).await, authorization)
    }

    async fn exchanged(&self, form: &Parameters, authorization: Option<&str>) -> Outcome {
        if let Some(name) = form.repeated() {
            let error = if name == "resource" { "invalid_target" } else { "invalid_request" };
            return Ok(Err(Refusal::new(error, "a parameter is there more than once")));
        }
        let client = match self.proven(form, authorization).await? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.check_resource(form) {
            return Ok(Err(refusal));
        }
        match form.one("grant_type") {
            Ok(Some("authorization_code")) => self.redeem(form, &client).await,
            Ok(Some("refresh_token")) => self.refresh(form, &client).await,
            Ok(Some(_)) => Ok(Err(Refusal::new(
                "unsupported_grant_type",
                "grant_type has to be authorization_code or refresh_token",
            ))),
            Ok(None) | Err(_) => Ok(Err(Refusal::request("grant_type is missing"))),
        }
    }

    async fn redeem(&self, form: &Parameters, client: &Client) -> Outcome {
        let wrong = |what: &str| Ok(Err(Refusal::grant(what)));
        let shown = match form.needed("code") {
            Ok(code) => code,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(Kept { value: code, version }) = self.shelf.read::<Code>(&key(shown)).await? else {
            return wrong("the code is unknown or expired");
        };
        // Whoever shows another's code may have seen it somewhere: that ends nothing for whom it was made for.
        if code.client != client.id {
            return wrong("the code is unknown or expired");
        }
        if let Some(grant) = &code.used {
            // One of the two who showed it is not the client.
            self.end_grant(grant).await?;
            return wrong("the code was used before; what came of it is taken back");
        }
        let redirect = form.field("redirect_uri");
        let fits = redirect.is_empty() || redirect == code.redirect;
        if !fits || !verifies(form.field("code_verifier"), &code.challenge) {
            // Whoever has it is not who it was made for.
            self.shelf.remove(&key(shown), Expected::Is(version)).await?;
            return wrong("the code is not for this redirect_uri or code_verifier");
        }
        let Some(person) = self.people.now(&code.person).await? else { return wrong("the person is no longer here") };
        let scopes = person.may_give(&code.scopes);
        let id = self.grants.give(person, (code.client.clone(), code.client_name.clone()), scopes.clone()).await?;
        let used = Code { used: Some(id.clone()), ..code };
        if !self.shelf.keep(&key(shown), &used, after(version, USED)).await? {
            self.end_grant(&id).await?;
            if let Some(Code { used: Some(other), .. }) =
                self.shelf.read::<Code>(&key(shown)).await?.map(|kept| kept.value)
            {
                self.end_grant(&other).await?;
            }
            return wrong("the code was used twice at once");
        }
        let Some(grant) = self.grants.find(&id).await? else { return wrong("the access was taken back") };
        let refresh = Grants::first(&*self.signing.fresh().await?, &id);
        Ok(Ok(self.tokens(&id, &grant.value, &scopes, refresh).await?))
    }

    async fn refresh(&self, form: &Parameters, client: &Client) -> Outcome {
        let wrong = |what: &str| Ok(Err(Refusal::grant(what)));
        let token = match form.needed("refresh_token") {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let ring = self.signing.fresh().await?;
        let Some(shown) = Shown::read(&ring, token) else { return wrong("the refresh token is not ours") };
        let Some(Kept { value: grant, .. }) = self.grants.find(&shown.grant).await? else {
            return wrong("the access was taken back, or not used for too long");
        };
        if grant.client != client.id {
            return wrong("the refresh token is another client's");
        }
        let Some(person) = self.people.now(&grant.person).await? else {
            self.end_grant(&shown.grant).await?;
            return wrong("the person is no longer here");
        };
        let all = person.may_give(&grant.scopes);
        let scopes: BTreeSet<String> = match form.field("scope") {
            "" => all.clone(),
            asked => asked.split_ascii_whitespace().map(str::to_owned).collect(),
        };
        if !scopes.is_subset(&all) {
            return Ok(Err(Refusal::new("invalid_scope", "a refresh token cannot give more than was agreed to")));
        }
        match self.grants.turn(&ring, &shown, person).await? {
            Turned::Next(refresh, grant) => Ok(Ok(self.tokens(&shown.grant, &grant, &scopes, refresh).await?)),
            Turned::Stolen => {
                self.forget(&grant.person.subject, &client.id).await?;
                self.revoked();
                tracing::warn!(client = client.id, "a refresh token was used twice: its access is taken back");
                wrong("the refresh token was used before; the access is taken back")
            }
            Turned::Nothing => wrong("the access was taken back"),
        }
    }

    async fn tokens(
        &self,
        id: &str,
        grant: &Grant,
        scopes: &BTreeSet<String>,
        refresh: String,
    ) -> Result<Answer, Trouble> {
        let body = json!({
            "access_token": self.access_token(id, grant, scopes).await?,
            "token_type": "Bearer",
            "expires_in": self.settings.access_token_seconds,
            "refresh_token": refresh,
            "scope": spelled(scopes),
        });
        Ok(Answer::Json { status: StatusCode::OK, body, basic: false })
    }

    /// The revocation endpoint (RFC 7009): with any of its tokens a client gives back all of a grant.
    pub async fn revoke(&self, form: &Parameters, authorization: Option<&str>) -> Answer {
        told(self.given_back(form, authorization).await, authorization)
    }

    async fn given_back(&self, form: &Parameters, authorization: Option<&str>) -> Outcome {
        let client = match self.proven(form, authorization).await? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let token = match form.needed("token") {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let shown = Shown::read(&*self.signing.fresh().await?, token).map(|shown| shown.grant);
        let id = match shown {
            Some(id) => Some(id),
            None => self.grant_of(token).await.map(|(id, _)| id),
        };
        if let Some(id) = id
            && self.grants.find(&id).await?.is_some_and(|grant| grant.value.client == client.id)
        {
            self.end_grant(&id).await?;
        }
        Ok(Ok(Answer::Json { status: StatusCode::OK, body: json!({}), basic: false }))
    }

    /// Ends a grant, and lets everybody who remembers its tokens know. The person is asked when the client comes again.
    async fn end_grant(&self, id: &str) -> Result<(), Trouble> {
        let grant = self.grants.find(id).await?;
        self.grants.revoke(id).await?;
        if let Some(Kept { value: grant, .. }) = grant {
            self.forget(&grant.person.subject, &grant.client).await?;
        }
        self.revoked();
        Ok(())
    }
}

/// The answer for a program. It is told of HTTP Basic only when it tried that.
fn told(outcome: Outcome, authorization: Option<&str>) -> Answer {
    let basic = authorization.is_some();
    match outcome {
        Ok(Ok(answer)) => answer,
        Ok(Err(refusal)) => refusal.answer(basic),
        Err(trouble) => {
            trouble.log();
            Refusal::new("temporarily_unavailable", "this cannot be done now; try again").answer(basic)
        }
    }
}

/// Whether the verifier is the one whose hash the code was asked with (RFC 7636).
fn verifies(verifier: &str, challenge: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let right = (43..=128).contains(&verifier.len()) && verifier.bytes().all(fits);
    right && random::same(&random::fingerprint(verifier), challenge)
}
