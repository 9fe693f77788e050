//! What pages load, and which of it the lists of origins allow.

use std::time::Instant;

use switchboard::widget::{Csp, Kind, Load, NO_LIST, NOT_ABSOLUTE, loads, uncovered};

/// Pieces of pages, and each thing they load.
const PAGES: &[(&str, &[(Kind, &str)])] = &[
    // Scripts, styles, links.
    ("<script src=https://a.io/x.js></script>", &[(Kind::Script, "https://a.io/x.js")]),
    ("<SCRIPT SRC='https://a.io/x.js?a=1&amp;b=2' async></SCRIPT>", &[(Kind::Script, "https://a.io/x.js?a=1&b=2")]),
    ("<script src=' \n https://a.io/\tx.js '></script>", &[(Kind::Script, "https://a.io/x.js")]),
    ("<script src=data:text/javascript,1></script><script src=''></script><script>1</script>", &[]),
    ("<script src=./x.js></script>", &[(Kind::Script, "./x.js")]),
    ("<link rel=stylesheet href=//a.io/x.css>", &[(Kind::Style, "//a.io/x.css")]),
    ("<link rel='alternate StyleSheet' href=https://a.io/x.css>", &[(Kind::Style, "https://a.io/x.css")]),
    ("<link rel='shortcut icon' href=https://a.io/x.ico>", &[(Kind::Image, "https://a.io/x.ico")]),
    ("<link rel=preload as=font href=https://a.io/x.woff2>", &[(Kind::Font, "https://a.io/x.woff2")]),
    ("<link rel=preload as=fetch href=https://a.io/x.json>", &[(Kind::Connect, "https://a.io/x.json")]),
    ("<link rel=preload as=image imagesrcset='https://a.io/1 1x'>", &[(Kind::Image, "https://a.io/1")]),
    ("<link rel=modulepreload href=https://a.io/x.js>", &[(Kind::Script, "https://a.io/x.js")]),
    ("<link rel=manifest href=https://a.io/m.json>", &[(Kind::Other, "https://a.io/m.json")]),
    ("<link rel=preconnect href=https://a.io><link rel=canonical href=https://a.io><link href=https://a.io>", &[]),
    // Images and media.
    ("<img src=https://a.io/x.png>", &[(Kind::Image, "https://a.io/x.png")]),
    (
        "<img srcset='https://a.io/1.png, https://a.io/2,3.png 2x,https://a.io/4.png 3x'>",
        &[
            (Kind::Image, "https://a.io/1.png"),
            (Kind::Image, "https://a.io/2,3.png"),
            (Kind::Image, "https://a.io/4.png"),
        ],
    ),
    ("<picture><source srcset='https://a.io/1 100w'><img src=data:,></picture>", &[(Kind::Image, "https://a.io/1")]),
    (
        "<video src=https://a.io/v poster=https://a.io/p><track src=https://a.io/t></video>",
        &[(Kind::Image, "https://a.io/p"), (Kind::Media, "https://a.io/v"), (Kind::Media, "https://a.io/t")],
    ),
    ("<audio><source src=https://a.io/a></audio>", &[(Kind::Media, "https://a.io/a")]),
    ("<input type=IMAGE src=https://a.io/i><input src=https://a.io/no>", &[(Kind::Image, "https://a.io/i")]),
    ("<body background=https://a.io/b>", &[(Kind::Image, "https://a.io/b")]),
    // Frames, objects, forms, bases.
    ("<iframe src=https://a.io/f></iframe>", &[(Kind::Frame, "https://a.io/f")]),
    ("<iframe src=about:blank></iframe><iframe src=blob:https://a.io/1></iframe>", &[]),
    ("<iframe src=https://no.io srcdoc='&lt;img src=https://a.io/i&gt;'></iframe>", &[(Kind::Image, "https://a.io/i")]),
    ("<frameset><frame src=https://a.io/f></frameset>", &[(Kind::Frame, "https://a.io/f")]),
    ("<object data=https://a.io/o></object>", &[(Kind::Object, "https://a.io/o")]),
    ("<embed src=https://a.io/e>", &[(Kind::Object, "https://a.io/e")]),
    ("<form action=https://a.io/f><button formaction=/g>", &[(Kind::Form, "https://a.io/f"), (Kind::Form, "/g")]),
    ("<form action=''><form action=#x><form action='JavaScript:void 0'>", &[]),
    (
        "<img src=i.png><base href=https://a.io/b/><base href=https://no.io/><img src=/j.png><img src=//b.io/k>",
        &[
            (Kind::Image, "https://a.io/b/i.png"),
            (Kind::Base, "https://a.io/b/"),
            (Kind::Base, "https://no.io/"),
            (Kind::Image, "https://a.io/j.png"),
            (Kind::Image, "https://b.io/k"),
        ],
    ),
    ("<meta http-equiv=Refresh content='5; URL = \"https://a.io/next\"'>", &[(Kind::Other, "https://a.io/next")]),
    ("<meta http-equiv=refresh content=5><meta property=og:image content=https://a.io/i>", &[]),
    ("<a href=https://a.io ping='https://a.io/p /q'>", &[(Kind::Connect, "https://a.io/p"), (Kind::Connect, "/q")]),
    // Drawings.
    (
        "<svg><image href=https://a.io/i /><use xlink:href=https://a.io/u#x /><use href=#y /></svg>",
        &[(Kind::Image, "https://a.io/i"), (Kind::Image, "https://a.io/u#x")],
    ),
    (
        "<svg><script href=https://a.io/s.js /><style/><title/></svg><img src=https://a.io/i>",
        &[(Kind::Script, "https://a.io/s.js"), (Kind::Image, "https://a.io/i")],
    ),
    ("<svg><style><![CDATA[ a { fill: url(https://a.io/f) } ]]></style></svg>", &[(Kind::Image, "https://a.io/f")]),
    // Styles.
    ("<p style=\"background: URL( 'https://a.io/i' )\">", &[(Kind::Image, "https://a.io/i")]),
    ("<p style='background:url(&quot;https://a.io/i&quot;)'>", &[(Kind::Image, "https://a.io/i")]),
    (
        "<style>@import 'https://a.io/1.css' screen; @import url(https://a.io/2.css);</style>",
        &[(Kind::Style, "https://a.io/1.css"), (Kind::Style, "https://a.io/2.css")],
    ),
    (
        "<style>@font-face { src: local('x'), url(https://a.io/f.woff2) format('woff2') } p { background: url(/i) }",
        &[(Kind::Font, "https://a.io/f.woff2"), (Kind::Image, "/i")],
    ),
    (
        "<style>p { background: image-set('https://a.io/1' 1x type('image/avif'), url(https://a.io/2) 2x), 'no' }",
        &[(Kind::Image, "https://a.io/1"), (Kind::Image, "https://a.io/2")],
    ),
    ("<style>/* url(https://no.io) */ p { content: 'url(https://no.io)' } @namespace url(http://no.io);</style>", &[]),
    ("<style>p { fill: url(#x); cursor: url(data:image/png;base64,AA==) } q { curl(https://no.io) }</style>", &[]),
    ("<style>p { content: '\\'url(https://no.io)'; background: url(https://a.io/i", &[(Kind::Image, "https://a.io/i")]),
    // Scripts.
    ("<script>fetch( 'https://a.io/x' )</script>", &[(Kind::Connect, "https://a.io/x")]),
    ("<script>fetch(`https://a.io/${id}/x`); fetch(`https://${host}/x`)</script>", &[(Kind::Connect, "https://a.io/")]),
    ("<script>new WebSocket(\"wss:\\/\\/a.io/s\")</script>", &[(Kind::Connect, "wss://a.io/s")]),
    ("<script>new EventSource(\n  'https://a.io/s')</script>", &[(Kind::Connect, "https://a.io/s")]),
    (
        "<script type=module>import x from'https://a.io/1';import 'https://a.io/2';import(\"https://a.io/3\")</script>",
        &[(Kind::Script, "https://a.io/2"), (Kind::Script, "https://a.io/3"), (Kind::Script, "https://a.io/1")],
    ),
    (
        "<script>new Worker('https://a.io/w'); importScripts('https://a.io/i')</script>",
        &[(Kind::Script, "https://a.io/w"), (Kind::Script, "https://a.io/i")],
    ),
    (
        "<script>x.open('POST', 'https://a.io/x'); open('https://no.io', 'x')</script>",
        &[(Kind::Connect, "https://a.io/x")],
    ),
    (
        "<script>prefetch('https://no.io'); fetch('/no'); fetch(url); x = 'https://no.io'; fetch('https://no.io</script>",
        &[],
    ),
    ("<script>\n// fetch('https://no.io')\n * fetch('https://no.io')\n</script>", &[]),
    (
        "<script type=application/json>fetch('https://no.io')</script><script type=text/template><img src=/no></script>",
        &[],
    ),
    (
        "<script type=importmap>{\"imports\": {\"a\": \"https://a.io/a.js\", \"b\": \"./b.js\"}}</script>",
        &[(Kind::Script, "https://a.io/a.js")],
    ),
    ("<p onclick=\"fetch('https://a.io/x')\">", &[(Kind::Connect, "https://a.io/x")]),
    // What is no element.
    ("<!-- <img src=https://no.io> --><title><img src=https://no.io></title>", &[]),
    ("<textarea><img src=https://no.io></textarea><noscript><img src=https://no.io></noscript>", &[]),
    ("<script>x = '<img src=https://no.io>'</script>", &[]),
    ("<script><!-- <script> </script> <img src=https://no.io> --></script>", &[]),
    ("<template><img src=https://a.io/i></template>", &[(Kind::Image, "https://a.io/i")]),
    ("<img src=https://a.io/i><img src=https://a.io/i>", &[(Kind::Image, "https://a.io/i")]),
    ("<img src=https://a.io/1 src=https://no.io><img src=https://no.io", &[(Kind::Image, "https://a.io/1")]),
];

#[test]
fn everything_a_page_loads_is_found() {
    for (html, wanted) in PAGES {
        let found: Vec<_> = loads(html).into_iter().map(|load| (load.kind, load.url)).collect();
        let wanted: Vec<_> = wanted.iter().map(|(kind, url)| (*kind, (*url).to_owned())).collect();
        assert_eq!(found, wanted, "{html}");
    }
}

#[test]
fn a_source_allows_what_a_browser_would() {
    for (source, url, allowed) in [
        ("https://a.io", "https://a.io/x", true),
        ("https://a.io/", "https://a.io/x", true),
        ("HTTPS://A.io", "https://a.IO/x", true),
        ("https://a.io", "http://a.io/x", false),
        ("http://a.io", "https://a.io/x", true),
        ("https://a.io", "wss://a.io/x", false),
        ("wss://a.io", "wss://a.io/x", true),
        ("ws://a.io", "wss://a.io/x", true),
        ("https://a.io", "https://b.a.io/x", false),
        ("https://a.io", "https://a.io.evil.io/x", false),
        ("https://a.io", "https://evil.io/https://a.io", false),
        ("https://a.io", "https://a.io@evil.io/x", false),
        ("https://*.a.io", "https://b.a.io/x", true),
        ("https://*.a.io", "https://c.b.a.io/x", true),
        ("https://*.a.io", "https://a.io/x", false),
        ("https://*.a.io", "https://evila.io/x", false),
        ("https://*a.io", "https://evila.io/x", false),
        ("a.io", "https://a.io/x", true),
        ("a.io", "http://a.io/x", false),
        ("*.a.io", "https://b.a.io/x", true),
        ("a.io:8443", "https://a.io:8443/x", true),
        ("https:", "https://b.io/x", true),
        ("https:", "http://b.io/x", false),
        ("wss:", "https://b.io/x", true),
        ("*", "wss://b.io/x", true),
        ("*", "ftp://b.io/x", false),
        ("https://*", "https://b.io/x", true),
        ("https://a.io:8443", "https://a.io:8443/x", true),
        ("https://a.io:8443", "https://a.io/x", false),
        ("https://a.io", "https://a.io:8443/x", false),
        ("https://a.io:443", "https://a.io/x", true),
        ("https://a.io:*", "https://a.io:8443/x", true),
        ("http://[::1]:8080", "http://[::1]:8080/x", true),
        ("http://[::1]", "http://[::1]/x", true),
        ("https://a.io/lib/", "https://a.io/lib/x.js", true),
        ("https://a.io/lib", "https://a.io/lib/x.js", false),
        ("https://a.io/x.js", "https://a.io/x.js", true),
        ("'self'", "https://a.io/x", false),
        ("'none'", "https://a.io/x", false),
        ("", "https://a.io/x", false),
    ] {
        let load = [Load { kind: Kind::Connect, url: url.to_owned() }];
        let csp = Csp { connect_domains: vec![source.to_owned()], ..Csp::default() };
        assert_eq!(uncovered(&load, &csp, &[]).is_empty(), allowed, "{source:?} and {url}");
        assert_eq!(uncovered(&load, &Csp::default(), &[source]).is_empty(), allowed, "own {source:?} and {url}");
    }
}

#[test]
fn each_load_has_its_list() {
    let all = [
        (Kind::Script, "resourceDomains"),
        (Kind::Style, "resourceDomains"),
        (Kind::Image, "resourceDomains"),
        (Kind::Font, "resourceDomains"),
        (Kind::Media, "resourceDomains"),
        (Kind::Frame, "frameDomains"),
        (Kind::Connect, "connectDomains"),
        (Kind::Base, "baseUriDomains"),
        (Kind::Form, NO_LIST),
        (Kind::Object, NO_LIST),
        (Kind::Other, NO_LIST),
    ];
    let none = Csp::default();
    let filled = |list: &str| -> Csp { serde_json::from_value(serde_json::json!({ list: ["https://a.io"] })).unwrap() };
    for (kind, list) in all {
        let load = [Load { kind, url: "https://a.io/x".to_owned() }];
        assert_eq!(uncovered(&load, &none, &[]), [(&load[0], list)]);
        for (_, other) in all.iter().filter(|(_, other)| *other != NO_LIST) {
            assert_eq!(uncovered(&load, &filled(other), &[]).is_empty(), *other == list, "{kind:?} and {other}");
        }
        let relative = [Load { kind, url: "//a.io/x".to_owned() }];
        assert_eq!(uncovered(&relative, &filled("redirectDomains"), &["*"]), [(&relative[0], NOT_ABSOLUTE)]);
    }
    assert!(serde_json::from_str::<Csp>(r#"{"connectDomain": []}"#).is_err());
}

/// Each takes milliseconds; minutes, if the time grew with the square of the size.
#[test]
fn hostile_pages_take_no_longer_than_others() {
    for piece in [
        "<",
        "<!--",
        "<a ",
        "<a b='",
        "<img src=x>",
        "<svg>",
        "<style>",
        "</",
        "<script>",
        "<p style=a",
        "&",
        "&#",
        "]]>",
        "<iframe/srcdoc=",
        "<iframe srcdoc='",
        "<script>fetch(",
        "fetch('",
        "<script>open('a',",
        "<img srcset='",
        ", ,",
        "<style>url(",
        "@import ",
        "image-set(",
        "/*",
        "\\",
        "'",
        "\"",
        "`${",
        "<base href=https://a.io>",
        "a=b ",
        "\n ",
    ] {
        for head in ["", "<script>", "<style>", "<p style=\"", "<script type=importmap>", "<img srcset=\"", "<p "] {
            let page = head.to_owned() + &piece.repeat((1 << 17) / piece.len());
            let start = Instant::now();
            let found = loads(&page);
            let took = start.elapsed();
            assert!(took.as_secs() < 5, "{head}{piece} took {took:?}");
            assert!(found.len() <= page.len());
        }
    }
}

#[test]
fn a_long_base_does_not_swell_what_is_found() {
    let images: Vec<_> = (0..5000).map(|number| format!("<img src={number}>")).collect();
    let page = format!("<base href=https://a.io/{}/>{}", "x".repeat(100_000), images.concat());
    let size: usize = loads(&page).iter().map(|load| load.url.len()).sum();
    assert!(size <= page.len(), "{size}");
}
