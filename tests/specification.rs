//! The page that lists the specification line by line is true: each route is in the table, and each test is there.

use std::path::Path;

use mrx::http::routes;

/// What stands between backticks in the tables.
fn quoted() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/specification.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn every_route_of_the_specification_is_in_the_table() {
    let methods = ["GET ", "POST ", "PATCH ", "PUT ", "DELETE "];
    let named: Vec<String> =
        quoted().into_iter().filter(|text| methods.iter().any(|method| text.starts_with(method))).collect();
    assert!(named.len() >= 13, "the specification has 13 endpoints: {named:?}");
    let known: Vec<String> =
        routes::table().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    for route in named {
        assert!(known.contains(&route), "{route} is not in the table of routes");
    }
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named: Vec<String> = quoted().into_iter().filter(|text| text.contains("::")).collect();
    assert!(named.len() > 40, "{}", named.len());
    for name in named {
        let (file, test) = name.split_once("::").unwrap();
        let path = if file.ends_with(".rs") { file.to_owned() } else { format!("tests/{file}.rs") };
        let text = std::fs::read_to_string(root.join(&path))
            .unwrap_or_else(|_| panic!("{name}: there is no {path}"));
        let begins = text.find(&format!("fn {test}(")).unwrap_or_else(|| panic!("{path} has no {test}"));
        let before = text[..begins].trim_end_matches(|c: char| c != ']');
        assert!(before.ends_with("]") && before.contains("test"), "{name} is no test");
    }
}
