//! What it costs to know who calls: the road of `mcp-stateless` with proofs, beside the same gateway without.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::{
    Router,
    routing::{MethodRouter, get},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::header::CONTENT_TYPE;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    Fault,
    answer::Text,
    bench::{Bench, upstream},
    caller::{Ask, Speech},
    manifest,
    process::{self, Process},
    rounds::take_turns,
    slice::{Load, Side, Slice, ready},
    table::{Aim, Row},
};

const KEY: &str = "a key that nobody guesses";
const AUDIENCE: &str = "the benchmark";
const CALLERS: &[usize] = &[16, 64];
const ASK: Ask = Ask::Call("echo", Text::Same);

pub(super) async fn run(bench: &mut Bench) -> Result<Vec<Row>, Fault> {
    let server = upstream(&["mcp-http"]).await?;
    let issuer = Issuer::start().await?;
    let open = start(bench, &server, |_| {}).await?;
    let keys = start(bench, &server, |command| {
        command.env("CONNECTORS_API_KEY", KEY);
    })
    .await?;
    let settings = bench.scratch();
    let oauth = json!({ "issuer": issuer.base(), "audience": [AUDIENCE], "allowPrivate": true });
    fs::write(&settings, json!({ "auth": { "mode": "oauth", "oauth": oauth } }).to_string())?;
    let tokens = start(bench, &server, |command| {
        command.arg("--config").arg(&settings);
    })
    .await?;
    // Callers are copied freely, so what they show lives as long as the program.
    let token: &'static str = issuer.token()?.leak();

    let mut rows = Vec::new();
    for callers in CALLERS.iter().copied() {
        let load = |speech| Load { speech, ask: ASK, callers };
        let speeches = [Speech::Stateless, Speech::Signed(KEY), Speech::Signed(token)];
        let gateways = ["none", "key", "token"].into_iter().zip([&open, &keys, &tokens]).zip(speeches);
        let mut sides = Vec::new();
        for ((label, gateway), speech) in gateways {
            ready(gateway, speech, ASK).await?;
            sides.push(Side::new(label, gateway, load(speech)));
        }
        let series = take_turns(&sides, bench.options.rounds(), bench.options.slice()).await;
        let [none, key, token] = series.as_slice() else { return Err("a side is missing".into()) };
        for (proof, series, aim) in [("an API key", key, 1.1), ("a JWT", token, 1.25)] {
            let figure = format!("tools/call with {proof}, beside none: CPU µs a call");
            let mut row = bench.row(figure, [none, series], Slice::cpu_per_call, Aim::Times(aim));
            row.callers = Some(callers);
            rows.push(row);
        }
    }
    Ok(rows)
}

async fn start(
    bench: &mut Bench,
    server: &Process,
    with: impl FnOnce(&mut tokio::process::Command),
) -> Result<Process, Fault> {
    let folder = bench.manifests(&[manifest::mcp_http(server.address, 0, "2026-07-28")])?;
    let mut command = process::gateway(&bench.options.binary(), &folder);
    with(&mut command);
    Process::start(command).await
}

/// A route that gives this document.
fn answer(document: &Value) -> MethodRouter {
    let document = document.to_string();
    get(move || std::future::ready(([(CONTENT_TYPE, "application/json")], document.clone())))
}

/// An issuer of tokens that says who it is and by which key it signs.
struct Issuer {
    address: SocketAddr,
    key: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    serving: JoinSet<()>,
}

impl Issuer {
    async fn start() -> Result<Self, Fault> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let pkcs8 = key.to_pkcs8v1()?.as_ref().to_vec();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut issuer = Self { address, key, pkcs8, serving: JoinSet::new() };
        let (base, keys) = (issuer.base(), issuer.keys());
        let metadata = json!({ "issuer": base, "jwks_uri": format!("{base}/jwks") });
        let routes =
            Router::new().route("/.well-known/openid-configuration", answer(&metadata)).route("/jwks", answer(&keys));
        issuer.serving.spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(issuer)
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn keys(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.key.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
        let text = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": text(x), "y": text(y) }] })
    }

    fn token(&self) -> Result<String, Fault> {
        let until = SystemTime::now() + Duration::from_hours(1);
        let claims = json!({
            "iss": self.base(),
            "sub": "somebody",
            "aud": AUDIENCE,
            "exp": until.duration_since(UNIX_EPOCH)?.as_secs(),
            "scope": "one two three",
            "client_id": "bench",
        });
        let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(encode(&header, &claims, &EncodingKey::from_ec_der(&self.pkcs8))?)
    }
}
