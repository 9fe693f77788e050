//! The empty requests that ChatGPT was seen to make before anything else.

use super::rpc::Proof;
use super::tour::{Looked, Tour};
use super::wire::Wanted;

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    if !tour.is_chatgpt() {
        return Err(format!("{} makes none", tour.who()));
    }
    tour.learned.may_ask()?;
    let mut statuses = Vec::new();
    for (body, name) in [("{}", "`{}`"), ("[]", "`[]`"), ("", "nothing")] {
        let request = tour.post(body.into(), Proof::Ours);
        let status = match tour.wire.send(request, Wanted::All).await {
            Ok(answer) => answer.status,
            Err(reason) => {
                tour.error(
                    format!("a request that holds {name} gets no answer: {reason}"),
                    "ChatGPT was seen to send such a request first, and then gave up",
                    "answer HTTP 200 with an empty body",
                );
                continue;
            }
        };
        statuses.push(status.to_string());
        if status >= 400 {
            tour.warn(
                format!("an empty request is answered with HTTP {status}"),
                "ChatGPT was seen to send `{}`, `[]` or nothing first, and one error there made the whole connection fail",
                "answer HTTP 200 with an empty body to these three",
            );
        }
    }
    statuses.dedup();
    Ok(format!("answered with HTTP {}", statuses.join(", ")))
}
