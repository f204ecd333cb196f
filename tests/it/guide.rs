//! The guide names tests that exist.

use std::{fs, path::Path};

#[test]
fn each_test_that_the_page_on_security_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("src/guide/security.rs")).unwrap();
    let mut named = 0;
    for (file, test) in page.split('`').filter_map(|text| text.split_once("::")) {
        if !file.starts_with("tests/it/") {
            continue;
        }
        let source = fs::read_to_string(root.join(file)).unwrap();
        assert!(source.contains(&format!("fn {test}()")), "{file} has no {test}");
        named += 1;
    }
    assert!(named > 20, "{named}");
}
