//! The page's files, as any program gets them.

use crate::common::durable::Durable;
use crate::common::programs::Home;
use crate::common::rooms::status;

#[tokio::test]
async fn each_file_comes_with_rules_that_let_nothing_else_in() {
    let home = tempfile::tempdir().unwrap();
    let server = Durable::start(home.path(), &[]);
    for (path, media) in [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/talk.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = server.ask(&format!("GET {path}"), "", "").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(status(&answer) == 200 && !body.is_empty(), "{answer}");
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            fields.next().unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
        };
        assert!(field("content-type").starts_with(media), "{head}");
        let policy = field("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split(';').any(|own| own.trim() == rule), "{rule} in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(field("x-content-type-options"), "nosniff");
        assert_eq!(field("referrer-policy"), "no-referrer");

        // Whoever has it already is told so.
        let known = server.ask(&format!("GET {path}"), &format!("if-none-match: {}\r\n", field("etag")), "").await;
        assert!(status(&known) == 304 && known.ends_with("\r\n\r\n"), "{known}");
        let head = server.ask(&format!("HEAD {path}"), "", "").await;
        assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(status(&server.ask(&format!("POST {path}"), "", "").await), 405);
        // Other sites may lead here, and not show it as a part of theirs.
        let site = "sec-fetch-site: cross-site\r\nsec-fetch-mode: ";
        assert_eq!(status(&server.ask(&format!("GET {path}"), &format!("{site}no-cors\r\n"), "").await), 403);
        assert_eq!(status(&server.ask(&format!("GET {path}"), &format!("{site}navigate\r\n"), "").await), 200);
    }
}

#[tokio::test]
async fn a_server_without_a_page_has_none_of_its_files() {
    let home = Home::new();
    let server = home.start(&["--memory", "--set", "server.page=false"]);
    for path in ["/", "/style.css", "/talk.js", "/icon.svg"] {
        let (status, body) = server.get(path).await;
        assert!(status == 404 && !body.contains("are /, "), "{body}");
    }
    assert_eq!(server.get("/healthz").await.0, 200);
    server.guest("alice").await;
}
