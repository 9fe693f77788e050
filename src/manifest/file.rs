//! What a manifest says about arguments that are files.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// A file the person who asks has given to the client. It is fetched from there before the call.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileArgument {
    /// The largest file, in bytes.
    #[serde(default = "ten_mebibytes")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_bytes: usize,
    /// Media types to take, such as `image/*`; any when there are none.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^[^/\s]+/[^/\s]+$")))]
    pub types: Vec<String>,
    /// Lets the client keep its files on a private address or without TLS; for trying things out.
    #[serde(default)]
    pub allow_private: bool,
}

fn ten_mebibytes() -> usize {
    10 << 20
}

impl FileArgument {
    /// What a client gives for a file, as `ChatGPT` writes it.
    pub fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "download_url": { "type": "string" },
                "file_id": { "type": "string" },
                "mime_type": { "type": "string" },
                "file_name": { "type": "string" }
            },
            "required": ["download_url", "file_id"],
            "additionalProperties": false
        })
    }

    /// Whether a file of this media type is taken.
    pub fn takes(&self, media_type: &str) -> bool {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let fits = |wanted: &String| {
            let wanted = wanted.to_ascii_lowercase();
            wanted == "*/*"
                || wanted == essence
                || wanted.strip_suffix('*').is_some_and(|start| start.ends_with('/') && essence.starts_with(start))
        };
        self.types.is_empty() || self.types.iter().any(fits)
    }
}
