//! What the macros write, as files that people read: `tests/golden/*.out.rs` of `*.in.rs`.
//!
//! `TCC_BLESS=1 cargo test -p tcc-macros` writes them anew; read the difference before you commit it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{File, Item};

#[test]
fn the_expansions_are_those_on_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = env::var_os("TCC_BLESS").is_some();
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.to_string_lossy().ends_with(".in.rs"));
    inputs.sort();
    assert!(inputs.len() >= 9, "the golden files are gone");
    let mut wrong = Vec::new();
    for input in inputs {
        let expanded = expand(&fs::read_to_string(&input).unwrap());
        let output = PathBuf::from(input.to_string_lossy().replace(".in.rs", ".out.rs"));
        if bless {
            fs::write(&output, &expanded).unwrap();
        } else if fs::read_to_string(&output).ok().as_deref() != Some(&expanded) {
            wrong.push(format!("{}:\n{expanded}", output.display()));
        }
    }
    assert!(wrong.is_empty(), "not as on file (TCC_BLESS=1 writes them anew):\n{}", wrong.join("\n"));
}

/// Expands the attributes of a file's items as rustc would, from the outside in.
fn expand(source: &str) -> String {
    let file: File = syn::parse_str(source).unwrap();
    let items: TokenStream = file.items.into_iter().map(expand_item).collect();
    prettyplease::unparse(&syn::parse2(items).unwrap())
}

fn expand_item(mut item: Item) -> TokenStream {
    let attrs = match &mut item {
        Item::Impl(block) => &mut block.attrs,
        Item::Trait(block) => &mut block.attrs,
        Item::Fn(function) => &mut function.attrs,
        _ => return item.to_token_stream(),
    };
    let ours =
        |attr: &syn::Attribute| attr.path().is_ident("participant") || attr.path().is_ident("transactional");
    if let Some(at) = attrs.iter().position(ours) {
        let attr = attrs.remove(at);
        let args = match &attr.meta {
            syn::Meta::List(list) => list.tokens.clone(),
            _ => TokenStream::new(),
        };
        return if attr.path().is_ident("participant") {
            crate::expand::participant(args, item.to_token_stream())
        } else {
            crate::expand::transactional(args, item.to_token_stream())
        };
    }
    match item {
        Item::Impl(mut block) => {
            let methods = block.items.drain(..).map(|item| match item {
                syn::ImplItem::Fn(mut method) if method.attrs.iter().any(ours) => {
                    let attr = method.attrs.remove(method.attrs.iter().position(ours).unwrap());
                    let args = match &attr.meta {
                        syn::Meta::List(list) => list.tokens.clone(),
                        _ => TokenStream::new(),
                    };
                    crate::expand::transactional(args, method.to_token_stream())
                }
                item => item.to_token_stream(),
            });
            let items: TokenStream = methods.collect();
            let block: crate::syntax::Block = syn::parse2(block.to_token_stream()).unwrap();
            block.with_items(&items)
        }
        item => quote!(#item),
    }
}
