//! Switchboard: **manifests in, one MCP server out**.
//!
//! It reads connector manifests, keeps one catalog of tools, and answers every `tools/call` by
//! walking one straight road to what stands behind the tool, and back.
//!
//! ```text
//!  ChatGPT, Claude, Cursor, Inspector …              HTTP APIs · programs · MCP servers
//!    │ POST/GET /mcp · /mcp/messages · stdio                     ▲
//!    ▼                                                           │
//!  transport ──► protocol ──► gateway ───────────► adapter ──► upstream
//!    bytes        MCP          the road of one call   one per     one guarded HTTP client,
//!                 (rmcp)       resolve → authorize →  kind of     child processes
//!                              check → turn →         connector
//!                              credential → call → shape
//! ```
//!
//! # Floors
//!
//! A module names only modules of lower floors; within a floor nobody names anybody
//! (`tests/it/tidy.rs`).
//!
//! | floor | modules | job |
//! |---|---|---|
//! | 12, 11 | `main`, [`cli`] | arguments → what to do |
//! | 10 | [`app`] | build the parts, own every task, drain |
//! | 9 | [`config`] | settings from file, environment, command line; every problem at once |
//! | 8 | [`transport`] | sockets and HTTP surfaces; bytes ↔ protocol; no decisions |
//! | 7 | [`protocol`] | MCP: methods, descriptors, notifications, errors → wire |
//! | 6 | [`gateway`] | the road of one call; how connectors are |
//! | 5 | [`adapter`], [`auth`], [`doctor`] | the kinds of connectors; who is calling; what a client would find here |
//! | 4 | [`call`] | invocation → output |
//! | 3 | [`catalog`] | immutable snapshots of all tools and pages, replaced whole |
//! | 2 | [`manifest`], [`caller`], [`credential`], [`upstream`], [`telemetry`], [`audit`], [`signature`], [`store`] | leaves |
//! | 1 | [`widget`], [`select`] | pages, and what they load; which tools fit a sentence |
//! | 0 | [`error`], [`name`], [`params`], [`secret`] | words everything uses |
//!
//! Pure (values in, values out; no clock, socket, file, log): `error`, `name`, `params`, `caller`, `widget`,
//! `manifest`, `catalog`, `select`, `openapi`, `adapter/collection/items`, `protocol/present`.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | connector | a manifest entry and what it connects to |
//! | adapter | the code that speaks for one *kind* of connector |
//! | manifest | the declaration, a file |
//! | catalog, entry | all tools of all connectors, one snapshot; one of them |
//! | view, profile | what one client is shown of the catalog, and how; a view with a name |
//! | front | the tools by which a client that searches finds and calls the others |
//! | caller | the proven principal of a request |
//! | credential | what we show an upstream |
//! | keyring | everything credentials are found with: variables, files, Vault, the safe |
//! | safe, seal | the encrypted part of the store; the keys it is encrypted with |
//! | invocation → output | a checked call → what it gave |
//! | widget, page | how a tool shows itself; the HTML it does that with, a `ui://` resource |
//! | collection | items kept here, for tools and their widgets |
//! | pin, lock | what somebody agreed to of an upstream's tool; all of them, a file |
//! | feed | how the tools `search` and `fetch` find things in a connector |
//! | offer | what another MCP server says it has: tools, resources, prompts |
//! | sent | another MCP server's result, passed on as the bytes it was |
//! | upstream, downstream | towards the connector's service, towards the MCP client |
//! | trip | what is noted of one call: log, numbers, trace, audit record |
//! | service map | the connectors as we vouch for them: a signed document |
//! | brand | in whose name the server speaks |
//! | era | a request's protocol generation: `initialize` (to 2025-11-25) or metadata on each request (2026-07-28) |
//!
//! # Invariants
//!
//! - No adapter knows a transport; no transport knows an adapter.
//! - A catalog is never edited: a change builds the next snapshot; readers keep theirs.
//! - One connector's trouble never delays another's answer, nor `initialize`, `server/discover` or `tools/list`.
//! - Arguments, results and credentials are never logged; sizes and outcomes are.
//! - Every queue is bounded, every wait ends, every task has an owner.
//! - What another MCP server sends is never opened further than needed, and goes out as it came in.
//! - A connector that is down keeps its last known tools and fails calls at once.
//! - No session is needed for anything.

pub mod adapter;
pub mod app;
pub mod audit;
pub mod auth;
pub mod call;
pub mod caller;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod credential;
pub mod doctor;
pub mod error;
pub mod gateway;
pub mod manifest;
pub mod name;
pub mod openapi;
pub mod params;
pub mod protocol;
pub mod secret;
pub mod select;
pub mod signature;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod upstream;
pub mod widget;
