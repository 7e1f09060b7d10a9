//! What is rendered is read by parsers that know nothing of this program.

use odoo_eventd::payload::xml::to_xml;
use serde_json::{Value, json};

use crate::support::program::run;

const PYTHON: &str = r#"
import json, sys
import xml.etree.ElementTree as ET
def read(element):
    if element.get("nil") == "true":
        return None
    return [read(child) for child in element] if len(element) else element.text or ""
root = ET.fromstring(sys.stdin.buffer.read())
print(json.dumps({child.get("key") or child.tag: read(child) for child in root}))
"#;

#[tokio::test]
async fn python_reads_the_xml_as_it_was_meant() {
    let value = json!({
        "note": "]]> <b>&amp; \"Größe\" 'a'\r\n\t €\u{1f600}",
        "ids": ["1", "2"],
        "1 \"<key>\"": "x",
        "none": null,
        "empty": "",
    });
    let Some(said) = run("python3", &["-c", PYTHON], to_xml("event", &value).as_bytes()).await else {
        return;
    };
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), value);
}
