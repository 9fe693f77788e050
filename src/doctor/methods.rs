//! GET and DELETE, which clients may try beside POST.

use reqwest::Method;

use super::rpc::{LEGACY, Proof};
use super::tour::{Looked, Tour};
use super::wire::Wanted;

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    tour.learned.may_ask()?;
    let mut seen = Vec::new();
    for method in [Method::GET, Method::DELETE] {
        let request = tour.wire.request(method.clone(), tour.visit.url.clone());
        let request =
            request.header("Accept", "application/json, text/event-stream").header("MCP-Protocol-Version", LEGACY);
        let request = tour.dressed(request, Proof::Ours);
        let answer = match tour.wire.send(request, Wanted::Head).await {
            Ok(answer) => answer,
            Err(reason) => {
                tour.warn(
                    format!("a {method} request gets no answer: {reason}"),
                    "clients that try it wait in vain before they go on",
                    "answer HTTP 405",
                );
                continue;
            }
        };
        seen.push(format!("{method} {}", answer.status));
        let status = answer.status;
        if status >= 500 || (300..400).contains(&status) || (answer.is_ok() && answer.is_page()) {
            let kind = if answer.is_ok() { ", a web page" } else { "" };
            tour.warn(
                format!("a {method} request is answered with HTTP {status}{kind}"),
                "clients that try it expect an event stream or HTTP 405, and may take this for a failure",
                "answer HTTP 405",
            );
        }
    }
    Ok(seen.join(", "))
}
