//! Reading source: what a file's code names, says and how long it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|its| its == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    found
}

/// A file of Rust: where it is, what it says, and which module it is.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) module: Vec<String>,
}

impl Source {
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let of_module = name.strip_prefix("src/").unwrap_or(&name).strip_suffix(".rs").unwrap();
        let mut module: Vec<String> = of_module.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        Self {
            text: std::fs::read_to_string(path).unwrap(),
            name,
            module,
        }
    }

    pub(super) fn top(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// Unit tests in a file of their own: by the house's convention under `#[cfg(test)]`.
    pub(super) fn is_test(&self) -> bool {
        let last = self.module.last().map_or("", String::as_str);
        !self.name.starts_with("src/") || last == "tests" || last.ends_with("_tests")
    }
}

pub(super) fn sources(folder: &str) -> Vec<Source> {
    files(folder, "rs").iter().map(|path| Source::read(path)).collect()
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

/// What a file's code names and says; what is for tests alone left out.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) module: Vec<String>,
    /// Top-level modules and crates.
    pub(super) named: BTreeSet<String>,
    /// Literals, and calls of the driver's methods, with their lines.
    pub(super) literals: Vec<(usize, String)>,
    pub(super) calls: Vec<(usize, String)>,
    /// Functions: name, line, how many lines.
    pub(super) functions: Vec<(String, usize, usize)>,
}

impl Reading {
    pub(super) fn of(source: &Source) -> Self {
        let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.name));
        let mut reading = Self {
            module: source.module.clone(),
            ..Self::default()
        };
        reading.visit_file(&file);
        reading
    }

    /// Notes what a path that begins with these words leads to.
    fn name(&mut self, words: &[String]) {
        let mut module = self.module.clone();
        let mut rest = words.iter().map(String::as_str).peekable();
        match rest.peek() {
            Some(&"crate") => {
                rest.next();
                module.clear();
            }
            Some(&("super" | "self")) => {
                while rest.peek() == Some(&"self") {
                    rest.next();
                }
                while rest.peek() == Some(&"super") {
                    rest.next();
                    module.pop();
                }
            }
            // A crate, or something in scope.
            Some(first) if words.len() > 1 => {
                self.named.insert(format!("::{first}"));
                return;
            }
            _ => return,
        }
        if let Some(top) = module.first().map(String::as_str).or(rest.next()) {
            self.named.insert(top.to_owned());
        }
    }

    fn use_tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.use_tree(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, before)),
            syn::UseTree::Name(syn::UseName { ident, .. }) | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                before.push(ident.to_string());
                self.name(before);
                before.pop();
            }
            _ => self.name(before),
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut words: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.path_of_tokens(&mut words);
                    }
                    words.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Literal(literal) => {
                    self.path_of_tokens(&mut words);
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.literals.push((literal.span().start().line, text.value()));
                    }
                }
                TokenTree::Group(group) => {
                    self.path_of_tokens(&mut words);
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) => self.path_of_tokens(&mut words),
            }
        }
        self.path_of_tokens(&mut words);
    }

    fn path_of_tokens(&mut self, words: &mut Vec<String>) {
        if words.len() > 1 {
            self.name(words);
        }
        words.clear();
    }

    fn function(&mut self, signature: &syn::Signature, end: proc_macro2::Span) {
        let (from, to) = (signature.fn_token.span.start().line, end.end().line);
        self.functions.push((signature.ident.to_string(), from, to + 1 - from));
    }
}

impl<'ast> Visit<'ast> for Reading {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    // Documentation may name anybody.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(&words);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.literals.push((literal.span().start().line, literal.value()));
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        let is_the_drivers = match method.as_str() {
            "query" | "query_one" | "query_opt" | "query_raw" | "query_typed" | "execute" => call.args.len() == 2,
            "batch_execute"
            | "simple_query"
            | "prepare"
            | "prepare_typed"
            | "prepare_cached"
            | "prepare_typed_cached" => true,
            _ => false,
        };
        if is_the_drivers {
            self.calls.push((call.method.span().start().line, method));
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, item.block.brace_token.span.close());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_for_tests(&item.attrs) {
            return;
        }
        self.function(&item.sig, item.block.brace_token.span.close());
        visit::visit_impl_item_fn(self, item);
    }
}
