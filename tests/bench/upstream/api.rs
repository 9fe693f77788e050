//! A plain HTTP API: `POST /echo` sends its text back, `GET /big?text=…` with 1 MiB behind it.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{body::Answer, http::json, server::BIG};

#[derive(Deserialize)]
struct Echo<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

/// The API's answers that do not change.
#[derive(Debug, Clone)]
pub(super) struct Api(Arc<str>);

impl Api {
    pub(super) fn new() -> Self {
        Self("x".repeat(BIG).into())
    }

    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        if request.uri().path() == "/big" {
            let text = request.uri().query().and_then(|query| query.strip_prefix("text=")).unwrap_or_default();
            let filler = self.0.get(text.len()..).unwrap_or_default();
            return Ok(json(StatusCode::OK, format!(r#"{{"text":"{text}{filler}"}}"#)));
        }
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(match serde_json::from_slice::<Echo<'_>>(&body) {
            Ok(echo) => json(StatusCode::OK, format!(r#"{{"text":{}}}"#, echo.text)),
            Err(_) => json(StatusCode::BAD_REQUEST, r#"{"message":"no text"}"#.to_owned()),
        })
    }
}
