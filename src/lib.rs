//! Switchboard: manifests in, one MCP server out.
pub mod adapter;
pub mod app;
pub mod call;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod credential;
pub mod error;
pub mod gateway;
pub mod manifest;
pub mod name;
pub mod protocol;
pub mod secret;
pub mod telemetry;
pub mod transport;
pub mod upstream;
