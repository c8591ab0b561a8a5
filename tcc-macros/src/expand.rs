//! What the macros write.

mod participant;
mod participant_trait;
mod transactional;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::parse::Parser;

use crate::diagnostics::Diagnostics;
use crate::model;
use crate::syntax::{Block, Function, Head};

/// `#[participant]`. The user's own code is in the answer whatever is wrong with it.
pub(crate) fn participant(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let mut block: Block = match syn::parse2(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            diagnostics.add(if is_block(&item) { error } else { no_block() });
            return quote!(#diagnostics #item);
        }
    };
    let participant = model::participant::read(args, &block, &mut diagnostics);
    model::participant::strip(&mut block);
    let Some(participant) = participant else { return quote!(#diagnostics #block) };
    participant_trait::rewrite(&mut block, &participant);
    let made = participant::expand(&participant);
    quote!(#diagnostics #block #made)
}

fn no_block() -> syn::Error {
    let message = "`#[participant]` stands on an `impl` block of a type, `#[participant(\"inventory\")] impl Inventory { … }`, \
                   or on a trait";
    syn::Error::new(Span::call_site(), message)
}

/// Whether it was meant as a block: then what syn says of it is to the point.
fn is_block(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl" || word == "trait",
        _ => false,
    })
}

/// `#[action]` or `#[on_confirm]` that no `#[participant]` has taken away.
pub(crate) fn stray_marker(marker: &str, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let message = format!(
        "`#[{marker}]` marks a method of a participant: put `#[participant(\"name\")]` on the `impl` block or trait around it"
    );
    diagnostics.add(syn::Error::new(Span::call_site(), message));
    quote!(#diagnostics #item)
}

/// `#[transactional]` on a function, or on a block with such methods.
pub(crate) fn transactional(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    if let Ok(function) = syn::parse2::<Function>(item.clone()) {
        let place = model::transactional::Place::Unknown;
        // Of the block around it nothing is known; that it must not begin itself is.
        let itself = model::nested::not_independent_by(&args, &function);
        let made = transactional::function(args, function, place, &itself, &mut diagnostics);
        return quote!(#diagnostics #made);
    }
    if let Ok(function) = Parser::parse2(Function::parse_in_trait, item.clone()) {
        let message = format!(
            "`{}` has no body here: write `#[transactional]` where its trait is implemented, on the method and on the \
             `impl` block",
            function.sig.ident
        );
        diagnostics.error(&function.sig.ident, message);
        return quote!(#diagnostics #item);
    }
    if let Ok(block) = syn::parse2::<Block>(item.clone())
        && let Head::Impl(head) = &block.head
    {
        let made = transactional::block(args, &block, head, &mut diagnostics);
        return quote!(#diagnostics #made);
    }
    let message =
        "`#[transactional]` stands on an `async fn` with a body, or on an `impl` block that has such methods";
    diagnostics.add(syn::Error::new(Span::call_site(), message));
    quote!(#diagnostics #item)
}

/// A span for what the macro writes itself: its local names are its own, its errors are shown at the user's code.
fn at(user: Span) -> Span {
    Span::mixed_site().located_at(user)
}

/// `::core::time::Duration::from_millis(…)`
fn duration(duration: std::time::Duration) -> TokenStream {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}

/// A line of documentation.
fn doc(text: &str) -> TokenStream {
    let text = if text.is_empty() { String::new() } else { format!(" {text}") };
    quote!(#[doc = #text])
}
