//! Integration tests: the program and its library as outsiders meet them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that fails has to stop")]

mod audit;
mod bundled;
mod catalog;
mod command;
mod credential;
mod diff;
mod issuer;
mod keys;
mod loads;
mod manifests;
mod openapi;
mod outside;
mod pins;
mod poison;
mod program;
mod ranking;
mod readme;
mod relations;
mod requests;
mod select;
mod settings;
mod store;
mod tidy;
