//! What upstreams are shown: sealed, and had from issuers.

mod seal;
