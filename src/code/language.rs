//! The language of a file, told by its name alone. Knows nothing of its content.

/// Names that say it by themselves.
const NAMES: &[(&str, &str)] = &[
    ("CMakeLists.txt", "cmake"),
    ("Dockerfile", "dockerfile"),
    ("Makefile", "make"),
    ("makefile", "make"),
    ("mrx.yaml", "yaml"),
];

/// Endings, in lower case.
const ENDINGS: &[(&str, &str)] = &[
    ("bash", "shell"),
    ("c", "c"),
    ("cc", "cpp"),
    ("cpp", "cpp"),
    ("cs", "csharp"),
    ("css", "css"),
    ("dart", "dart"),
    ("go", "go"),
    ("gradle", "groovy"),
    ("groovy", "groovy"),
    ("h", "c"),
    ("hpp", "cpp"),
    ("html", "html"),
    ("java", "java"),
    ("js", "javascript"),
    ("json", "json"),
    ("jsx", "javascript"),
    ("kt", "kotlin"),
    ("kts", "kotlin"),
    ("lua", "lua"),
    ("m", "objective-c"),
    ("md", "markdown"),
    ("mjs", "javascript"),
    ("php", "php"),
    ("pl", "perl"),
    ("proto", "protobuf"),
    ("py", "python"),
    ("r", "r"),
    ("rb", "ruby"),
    ("rs", "rust"),
    ("scala", "scala"),
    ("scss", "scss"),
    ("sh", "shell"),
    ("sql", "sql"),
    ("svelte", "svelte"),
    ("swift", "swift"),
    ("toml", "toml"),
    ("ts", "typescript"),
    ("tsx", "typescript"),
    ("vue", "vue"),
    ("xml", "xml"),
    ("yaml", "yaml"),
    ("yml", "yaml"),
    ("zig", "zig"),
];

/// The language of the file with this path; `None` if its name does not say.
pub fn of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some((_, language)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(language);
    }
    let (stem, ending) = name.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    let place = ENDINGS.binary_search_by_key(&ending.as_str(), |(known, _)| known).ok()?;
    (!stem.is_empty()).then_some(ENDINGS[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_a_name_tells_the_language() {
        assert!(ENDINGS.is_sorted());
        for (path, language) in [
            ("src/main.rs", Some("rust")),
            ("A.KT", Some("kotlin")),
            ("app/Makefile", Some("make")),
            ("LICENSE", None),
            (".rs", None),
            ("a.odd", None),
        ] {
            assert_eq!(of(path), language, "{path}");
        }
    }
}
