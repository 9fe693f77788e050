//! What a caller has to show, in the words of `WWW-Authenticate` (RFC 6750, RFC 9728).

/// What a caller has to show, beyond what was shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Whether the caller is known already, and lacks scopes only.
    pub known: bool,
    /// All the scopes to ask for.
    pub scopes: Vec<String>,
}

impl Challenge {
    /// The challenge as a header has it. `metadata` is where to learn how to sign in, `error` a code of RFC 6750 with
    /// what a person is told; a request that showed nothing made no error.
    pub fn header(&self, metadata: Option<&str>, error: Option<(&str, &str)>) -> String {
        let scopes = self.scopes.join(" ");
        let metadata = metadata.map_or(("realm", "switchboard"), |metadata| ("resource_metadata", metadata));
        let code = error.map(|(code, _)| ("error", code));
        let said = error.map(|(_, said)| ("error_description", said));
        let scope = (!scopes.is_empty()).then_some(("scope", scopes.as_str()));
        let parameters = [Some(metadata), code, said, scope];
        let parameters = parameters.into_iter().flatten().map(|(name, value)| format!("{name}=\"{}\"", tame(value)));
        format!("Bearer {}", parameters.collect::<Vec<_>>().join(", "))
    }
}

/// Text that may stand between quotes in a header: what may not is left out or said otherwise.
fn tame(text: &str) -> String {
    let tame = |c: char| match c {
        '"' | '\\' | '`' => Some('\''),
        c if c.is_ascii_graphic() || c == ' ' => Some(c),
        _ => None,
    };
    text.chars().filter_map(tame).collect()
}
