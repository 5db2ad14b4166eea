//! `openapi.yaml`, and answers held against it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::registry::Answer;
use super::schema::Document;

/// What `openapi.yaml` documents.
pub(crate) struct Api(pub(crate) Document);

impl Api {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")).unwrap();
        Self(Document(serde_norway::from_str(&text).unwrap()))
    }

    /// Every documented path that begins so, its methods and what they answer by status.
    pub(crate) fn operations(&self, beginning: &str) -> Vec<(String, String, BTreeMap<u16, &Value>)> {
        let mut operations = Vec::new();
        let paths = self.0.0["paths"].as_object().unwrap();
        for (path, item) in paths.iter().filter(|(path, _)| path.starts_with(beginning)) {
            for (method, operation) in item.as_object().unwrap() {
                if !METHODS.contains(&method.as_str()) {
                    assert!(["summary", "parameters", "servers"].contains(&method.as_str()), "{path} has {method}");
                    continue;
                }
                let responses = operation["responses"].as_object().unwrap();
                let responses = responses.iter().map(|(code, r)| (code.parse().unwrap(), self.0.resolved(r))).collect();
                operations.push((path.clone(), method.to_ascii_uppercase(), responses));
            }
        }
        operations
    }

    /// Holds an answer against what is documented for it.
    pub(crate) fn check(&self, what: &str, response: &Value, method: &str, answer: &Answer) {
        for (name, header) in response.get("headers").and_then(Value::as_object).into_iter().flatten() {
            let value = answer.header(&name.to_ascii_lowercase());
            let value = value.unwrap_or_else(|| panic!("{what}: the header {name} is missing"));
            assert_eq!(self.0.misfit(&header["schema"], &json!(value), name), None, "{what}");
        }
        if response.get("content").is_none() {
            assert!(answer.body.is_empty() && answer.header("content-type").is_none(), "{what}");
            return;
        }
        let media_type = answer.header("content-type").unwrap_or_else(|| panic!("{what}: no media type"));
        let content = response["content"].as_object().unwrap();
        let content = content.get(media_type).unwrap_or_else(|| panic!("{what}: {media_type} is not documented"));
        if method == "HEAD" {
            assert!(answer.body.is_empty(), "{what}");
            return;
        }
        let body = match media_type {
            text if !text.contains("json") => json!(String::from_utf8(answer.body.clone()).unwrap()),
            _ => answer.json(),
        };
        assert_eq!(self.0.misfit(&content["schema"], &body, "body"), None, "{what}");
    }
}

const METHODS: [&str; 8] = ["get", "head", "post", "put", "delete", "options", "patch", "trace"];
