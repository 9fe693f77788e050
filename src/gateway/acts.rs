//! What is recorded of what callers do beside calls.

use std::fmt::Display;

use super::Gateway;
use crate::audit::{Act, Deed, Who};
use crate::caller::Caller;

impl Gateway {
    /// Records what somebody did, to what, and why it failed if it did.
    pub fn did(&self, deed: Deed, by: &Caller, on: &str, failure: Option<&dyn Display>) {
        let outcome = failure.map_or_else(|| "ok".to_owned(), ToString::to_string);
        self.audit().act(Act { deed, who: recorded(by), on: on.to_owned(), outcome, details: None });
    }
}

/// Who a caller is, in the words of records.
pub(super) fn recorded(caller: &Caller) -> Who {
    match caller {
        Caller::Local => Who::Local,
        Caller::Anonymous { .. } => Who::Anonymous,
        Caller::Known(principal) => Who::Known {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            tenant: principal.tenant.clone(),
        },
    }
}
