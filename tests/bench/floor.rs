//! The floor: a bare hyper reverse proxy that looks at nothing and changes only where a request goes.

use http::{Request, Uri, uri::Authority};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{Fault, listen::listen};

/// Passes everything to `target`, `host:port`, until the benchmark closes our standard input.
pub(crate) async fn serve(target: Authority) -> Result<(), Fault> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    listen(move |mut request: Request<Incoming>| {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(http::uri::Scheme::HTTP);
        uri.authority = Some(target.clone());
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        client.request(request)
    })
    .await
}
