//! Checks of what an upstream is shown.

use super::Checker;
use crate::manifest::credentials::{ClientAuth, Credentials, Grant, OAuth};
use crate::manifest::model::{AdapterSettings, Connector};
use crate::manifest::template::escape;

/// The header in which most credentials stand.
const AUTHORIZATION: &str = "authorization";

impl Checker<'_> {
    pub(super) fn credentials(&mut self, connector: &Connector) {
        let credentials = &connector.credentials;
        for name in credentials.headers.keys() {
            self.header(&format!("/credentials/headers/{}", escape(name)), name);
        }
        for name in credentials.cookies.keys() {
            let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | ';' | ',' | '"' | '\\');
            if name.is_empty() || !name.chars().all(fits) {
                let at = format!("/credentials/cookies/{}", escape(name));
                self.error(&at, format!("`{}` is no name of a cookie", name.escape_debug()));
            }
        }
        for (at, reference) in credentials.references() {
            self.reference(&format!("/credentials{at}"), reference);
        }
        self.one_header(credentials);
        self.speaks_http(connector);
        if let Some(oauth) = &credentials.oauth {
            self.oauth(oauth, &connector.adapter);
        }
    }

    /// No two credentials stand in the same header.
    fn one_header(&mut self, credentials: &Credentials) {
        let mut headers: Vec<(String, &str)> =
            credentials.headers.keys().map(|name| (name.to_ascii_lowercase(), "headers")).collect();
        headers.extend(credentials.basic.iter().map(|_| (AUTHORIZATION.to_owned(), "basic")));
        headers.extend(credentials.bearer.iter().map(|_| (AUTHORIZATION.to_owned(), "bearer")));
        headers.extend(credentials.oauth.iter().map(|oauth| (oauth.header.to_ascii_lowercase(), "oauth")));
        for (index, (name, of)) in headers.iter().enumerate() {
            if let Some((_, first)) = headers.iter().take(index).find(|(taken, _)| taken == name) {
                self.error(&format!("/credentials/{of}"), format!("`{first}` already fills the header `{name}`"));
            }
        }
    }

    /// What stands in a request needs one to stand in.
    fn speaks_http(&mut self, connector: &Connector) {
        let speaks = match &connector.adapter {
            AdapterSettings::Http(_) | AdapterSettings::OpenApi(_) => true,
            AdapterSettings::Mcp(settings) => settings.url.is_some(),
            AdapterSettings::Command(_) | AdapterSettings::Collection(_) | AdapterSettings::Gateway(_) => false,
        };
        let Credentials { cookies, basic, bearer, oauth, .. } = &connector.credentials;
        let given = [
            ("cookies", !cookies.is_empty()),
            ("basic", basic.is_some()),
            ("bearer", bearer.is_some()),
            ("oauth", oauth.is_some()),
        ];
        for (name, _) in given.iter().filter(|(_, given)| *given && !speaks) {
            let message =
                "goes with `http`, `openapi` and `mcp` with a `url` only; give a program its secrets by `env`";
            self.error(&format!("/credentials/{name}"), message);
        }
    }

    fn oauth(&mut self, oauth: &OAuth, adapter: &AdapterSettings) {
        let at = |name: &str| format!("/credentials/oauth/{name}");
        self.header(&at("header"), &oauth.header);
        if oauth.prefix.chars().any(|c| c.is_control() || !c.is_ascii()) {
            self.error(&at("prefix"), "cannot stand in a header");
        }
        let texts = [
            ("issuer", &oauth.issuer),
            ("tokenUrl", &oauth.token_url),
            ("authorizationUrl", &oauth.authorization_url),
            ("clientId", &oauth.client_id),
            ("audience", &oauth.audience),
            ("resource", &oauth.resource),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                self.text(&at(name), text);
            }
        }
        for (index, scope) in oauth.scopes.iter().enumerate() {
            if scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
                self.error(&at(&format!("scopes/{index}")), "is no scope: a word without spaces and quotes");
            }
        }
        let is_mcp = matches!(adapter, AdapterSettings::Mcp(_));
        let nowhere = oauth.issuer.is_none() && oauth.token_url.is_none();
        if nowhere && !(oauth.grant == Grant::Caller && is_mcp) {
            self.error("/credentials/oauth", "says nothing of where tokens are: give `issuer` or `tokenUrl`");
        }
        if oauth.client_auth.is_some_and(|auth| auth != ClientAuth::None) && oauth.client_secret.is_none() {
            self.error(&at("clientAuth"), "takes a `clientSecret`");
        }
        self.grant(oauth);
    }

    /// What each grant takes.
    fn grant(&mut self, oauth: &OAuth) {
        let own = oauth.grant != Grant::Caller;
        if own && oauth.client_id.is_none() {
            self.error("/credentials/oauth", "says nothing of who we are at the issuer: give `clientId`");
        }
        if oauth.grant == Grant::ClientCredentials && oauth.client_secret.is_none() {
            self.error("/credentials/oauth", "`clientCredentials` takes a `clientSecret`");
        }
        if oauth.grant == Grant::RefreshToken && oauth.refresh_token.is_none() {
            self.error("/credentials/oauth", "`refreshToken` takes a first `refreshToken`");
        }
        let foreign = [
            ("refreshToken", oauth.refresh_token.is_some() && oauth.grant != Grant::RefreshToken, "refreshToken"),
            ("authorizationUrl", oauth.authorization_url.is_some() && own, "caller"),
        ];
        for (name, _, grant) in foreign.iter().filter(|(_, wrong, _)| *wrong) {
            self.error(&format!("/credentials/oauth/{name}"), format!("goes with the grant `{grant}` only"));
        }
    }
}
