//! How much may come back, and the reading of a body up to there.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::Response;

use crate::error::{Again, Error, ErrorKind, Result};

/// How much a call may give, and the setting that says so.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// The most bytes.
    pub bytes: usize,
    /// The setting that says so, for who wants more.
    pub setting: &'static str,
}

impl Limit {
    /// The manifest's own limit, or the one for all results when that is smaller.
    #[must_use]
    pub fn smaller(bytes: usize, setting: &'static str, max_result: usize) -> Self {
        if bytes <= max_result {
            Self { bytes, setting }
        } else {
            Self { bytes: max_result, setting: "limits.resultBytes" }
        }
    }

    /// The error when `what` is larger.
    pub fn exceeded(self, what: &str) -> Error {
        let Self { bytes, setting } = self;
        Error::new(
            ErrorKind::TooLarge,
            format!("{what} is larger than {bytes} bytes (`{setting}`); ask for less at a time"),
        )
    }

    /// The body of a response, when it is not larger once decompressed.
    pub async fn read(self, response: Response) -> Result<Bytes> {
        let announced = response.content_length().unwrap_or(0);
        if announced > self.bytes as u64 {
            return Err(self.exceeded("the upstream's answer"));
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(broken)?;
            if body.len() + chunk.len() > self.bytes {
                return Err(self.exceeded("the upstream's answer"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// As much of a body as comes and fits.
    pub async fn read_some(self, response: Response) -> Bytes {
        let mut body = BytesMut::new();
        let mut chunks = response.bytes_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            let room = self.bytes - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if body.len() == self.bytes {
                break;
            }
        }
        body.freeze()
    }
}

/// The error when a body ends before its end.
pub fn broken(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the upstream's answer broke off")
        .because(error.without_url())
        .of_exchange(Again::MAYBE)
}
