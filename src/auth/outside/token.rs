//! A signed token (JWT): its header, its signature, its times.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};

use super::claims::{Claims, LEEWAY, Rules};
use crate::auth::Denied;

/// The algorithms we take. None rests on a shared secret, and each fits one kind of key only.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The token's header, when we take tokens of its kind. Nothing in it is proved yet; of what it says of keys only the
/// name of one counts.
pub(super) fn header(token: &str) -> Result<Header, Denied> {
    let invalid = |words: &str| Err(Denied::Invalid(words.into()));
    let Ok(header) = jsonwebtoken::decode_header(token) else {
        return invalid("the header of the token cannot be read, or its algorithm is not taken here");
    };
    if !ALGORITHMS.contains(&header.alg) {
        return invalid("the algorithm of the token is not taken here");
    }
    // What somebody must understand, and we do not.
    if header.crit.is_some() {
        return invalid("the token asks for an extension (`crit`) that is not known here");
    }
    let kind = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    if !matches!(kind, "jwt" | "at+jwt") {
        return invalid("this is no access token");
    }
    Ok(header)
}

/// What the token says, once its signature is proved and it is ours to take.
pub(super) fn decode(token: &str, header: &Header, key: &DecodingKey, rules: &Rules) -> Result<Claims, Denied> {
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&rules.issuer]);
    validation.set_audience(&rules.audience);
    match jsonwebtoken::decode::<Claims>(token, key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(Denied::Invalid(words(error.kind()))),
    }
}

fn words(error: &ErrorKind) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest says that it is malformed in one way or another")]
    match error {
        ErrorKind::ExpiredSignature => "the token has expired".into(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".into(),
        ErrorKind::InvalidSignature => "the signature of the token is wrong".into(),
        ErrorKind::InvalidIssuer => "the token is of another issuer".into(),
        ErrorKind::InvalidAudience => "the token is not meant for this server".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the token has no `{claim}`"),
        _ => "the token cannot be read".into(),
    }
}
