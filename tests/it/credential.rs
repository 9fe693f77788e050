//! What upstreams are shown: how it is kept, and where it stands.

mod seal;
mod shown;
