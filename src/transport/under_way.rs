//! Requests of one connection that are not answered yet.

use std::collections::HashMap;

use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{RoleServer, RxJsonRpcMessage, TxJsonRpcMessage};

/// What is kept of each request until its answer leaves.
#[derive(Debug)]
pub(super) struct UnderWay<T>(HashMap<RequestId, T>);

impl<T> Default for UnderWay<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> UnderWay<T> {
    /// Notes a message that came in. One that cancels a request ends it, because a cancelled
    /// request may go without an answer.
    pub(super) fn came(&mut self, message: &RxJsonRpcMessage<RoleServer>, kept: Option<T>) {
        match message {
            JsonRpcMessage::Request(request) => self.0.extend(kept.map(|kept| (request.id.clone(), kept))),
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.0.remove(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
    }

    /// What was kept of the request that a message going out answers.
    pub(super) fn goes(&mut self, message: &TxJsonRpcMessage<RoleServer>) -> Option<T> {
        match message {
            JsonRpcMessage::Response(response) => self.0.remove(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref().and_then(|id| self.0.remove(id)),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
