//! The address itself: its name, its certificate, and whether MCP answers there at all.

use super::rpc::{Proof, Reply, reply_in};
use super::tour::{Looked, Tour};
use super::wire::{Answer, is_here, is_private, is_safe, plain};

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let url = tour.visit.url.clone();
    let shown = plain(&url);
    let who = tour.who();
    if !is_safe(&url) {
        tour.error(
            "the address is not https",
            format!("{who} connects by https only, and tokens would be readable on the way"),
            "give the server a certificate, or put a tunnel or proxy with one before it, and use that address",
        );
    }
    let answer = match tour.say_discover(Proof::Nothing).await {
        Ok(answer) => answer,
        Err(reason) => {
            tour.error(
                format!("the server cannot be reached at {shown}: {reason}"),
                format!("{who} cannot connect"),
                "check that the server and the tunnel or proxy before it run, and that the address is right",
            );
            return Ok(String::new());
        }
    };
    if is_elsewhere(tour, &answer) {
        return Ok(String::new());
    }
    let private = answer.peer.filter(|peer| is_private(peer.ip()) && !is_here(&url));
    if let Some(peer) = private {
        tour.warn(
            format!("the name leads to {}, an address of a private network", peer.ip()),
            format!("{who} comes from the internet and cannot reach it"),
            "use an address that the internet knows, or a tunnel",
        );
    }
    let milliseconds = answer.took.as_millis();
    tour.learned.opening = Some(answer);
    let here = if is_here(&url) { "; only this machine can reach it" } else { "" };
    Ok(format!("{shown} answers in {milliseconds} ms{here}"))
}

/// Whether something else than an MCP server answers, which is said then.
fn is_elsewhere<P>(tour: &mut Tour<'_, P>, answer: &Answer) -> bool {
    let url = tour.visit.url.clone();
    let (shown, who) = (plain(&url), tour.who());
    if let Some(target) = answer.leads_to(&url) {
        tour.error(
            format!("the address answers with a redirect to {}", plain(&target)),
            "clients do not send a request, or its token, a second time to another address",
            format!("use {} as the address, or make the server answer directly", plain(&target)),
        );
        return true;
    }
    if matches!(answer.status, 403 | 421) && answer.headers.get("www-authenticate").is_none() {
        tour.error(
            format!("the server refuses the request: {}", answer.summary()),
            format!("{who} comes with the same host name and no web origin; this is often a guard that knows only \"localhost\""),
            "tell the server its public address (in Switchboard: BASE_URL or --public-url)",
        );
        return true;
    }
    if answer.status == 404 && matches!(reply_in(answer), Reply::Foreign) {
        tour.error(
            format!("nothing answers MCP at {shown} (HTTP 404)"),
            format!("{who} cannot connect"),
            "check the path: most servers answer at /mcp",
        );
        return true;
    }
    if answer.is_page() && answer.status != 401 {
        tour.error(
            format!("a web page answers instead of MCP (HTTP {})", answer.status),
            format!("{who} reads JSON; a page usually comes from a tunnel or proxy, not from the server"),
            "open the address in a browser to see what it says, and check the path (usually /mcp)",
        );
        return true;
    }
    if answer.status >= 500 && !matches!(reply_in(answer), Reply::Error { .. }) {
        tour.error(
            format!("the server fails: {}", answer.summary()),
            format!("{who} cannot connect"),
            "look into the log of the server, and of the tunnel or proxy before it",
        );
        return true;
    }
    false
}
