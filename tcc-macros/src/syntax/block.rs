//! A block of methods: that of a type, or a trait.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, ImplItem, ItemImpl, ItemTrait, Signature, TraitItem, Visibility};

use super::Function;

/// An `impl` block or a trait, the bodies of its methods unread.
pub(crate) struct Block {
    pub(crate) head: Head,
    inner_attrs: Vec<Attribute>,
    pub(crate) items: Vec<Item>,
}

/// All of a block but its items.
pub(crate) enum Head {
    Impl(Box<ItemImpl>),
    Trait(Box<ItemTrait>),
}

pub(crate) enum Item {
    Method(Box<Function>),
    Other(TokenStream),
}

impl Block {
    pub(crate) fn methods(&self) -> impl Iterator<Item = &Function> {
        self.items.iter().filter_map(|item| match item {
            Item::Method(method) => Some(&**method),
            Item::Other(_) => None,
        })
    }

    pub(crate) fn methods_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Method(method) => Some(&mut **method),
            Item::Other(_) => None,
        })
    }

    /// The block, with its items replaced.
    pub(crate) fn with_items(&self, items: &TokenStream) -> TokenStream {
        let mut block = self.head.to_token_stream().into_iter().collect::<Vec<_>>();
        let inner = &self.inner_attrs;
        if let Some(TokenTree::Group(braces)) = block.last_mut() {
            let span = braces.span();
            *braces = Group::new(Delimiter::Brace, quote::quote!(#(#inner)* #items));
            braces.set_span(span);
        }
        block.into_iter().collect()
    }
}

impl Head {
    pub(crate) fn attrs(&self) -> &[Attribute] {
        match self {
            Self::Impl(head) => &head.attrs,
            Self::Trait(head) => &head.attrs,
        }
    }
}

impl Parse for Block {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut tokens: Vec<TokenTree> = input.parse::<TokenStream>()?.into_iter().collect();
        let mut content = TokenStream::new();
        if let Some(TokenTree::Group(braces)) = tokens.last_mut()
            && braces.delimiter() == Delimiter::Brace
        {
            content = braces.stream();
            let span = braces.span();
            *braces = Group::new(Delimiter::Brace, TokenStream::new());
            braces.set_span(span);
        }
        let head = match syn::parse2(tokens.into_iter().collect())? {
            syn::Item::Impl(head) => Head::Impl(Box::new(head)),
            syn::Item::Trait(head) => Head::Trait(Box::new(head)),
            other => return Err(syn::Error::new_spanned(other, "neither an `impl` block nor a trait")),
        };
        let in_trait = matches!(head, Head::Trait(_));
        let (inner_attrs, items) = (|input: ParseStream<'_>| parse_items(input, in_trait)).parse2(content)?;
        Ok(Self { head, inner_attrs, items })
    }
}

fn parse_items(input: ParseStream<'_>, in_trait: bool) -> syn::Result<(Vec<Attribute>, Vec<Item>)> {
    let inner_attrs = input.call(Attribute::parse_inner)?;
    let mut items = Vec::new();
    while !input.is_empty() {
        items.push(if starts_function(input) {
            // A body that is missing in an `impl` block is left to rustc, which says so.
            Item::Method(Box::new(Function::parse_in_trait(input)?))
        } else if in_trait {
            Item::Other(input.parse::<TraitItem>()?.into_token_stream())
        } else {
            Item::Other(input.parse::<ImplItem>()?.into_token_stream())
        });
    }
    Ok((inner_attrs, items))
}

fn starts_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.call(Attribute::parse_outer).is_ok()
        && ahead.parse::<Visibility>().is_ok()
        && ahead.parse::<Signature>().is_ok()
}

impl ToTokens for Block {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let mut items = TokenStream::new();
        for item in &self.items {
            item.to_tokens(&mut items);
        }
        tokens.extend(self.with_items(&items));
    }
}

impl ToTokens for Head {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Impl(head) => head.to_tokens(tokens),
            Self::Trait(head) => head.to_tokens(tokens),
        }
    }
}

impl ToTokens for Item {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Method(method) => method.to_tokens(tokens),
            Self::Other(item) => item.to_tokens(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_not_read() {
        let method: Function = syn::parse_str("async fn f(&self) { not rust at all }").unwrap();
        assert_eq!(method.sig.ident, "f");
        let block: Block =
            syn::parse_str("impl A { #![allow(x)] const N: u8 = 1; fn f() { not rust } m! {} }").unwrap();
        assert_eq!((block.items.len(), block.methods().count()), (3, 1));
        assert_eq!(
            block.to_token_stream().to_string(),
            "impl A { # ! [allow (x)] const N : u8 = 1 ; fn f () { not rust } m ! { } }"
        );
    }

    #[test]
    fn a_body_may_be_left_out_in_a_block() {
        let block: Block =
            syn::parse_str("pub trait A: B { type T; fn f(&self); fn g() { not rust } }").unwrap();
        assert_eq!((block.items.len(), block.methods().count()), (3, 2));
        assert_eq!(
            block.to_token_stream().to_string(),
            "pub trait A : B { type T ; fn f (& self) ; fn g () { not rust } }"
        );
        assert_eq!(syn::parse_str::<Block>("impl A { fn f(&self); }").unwrap().methods().count(), 1);
        assert!(syn::parse_str::<Function>("fn f(&self);").is_err());
        assert!(syn::parse_str::<Block>("mod a { fn f() {} }").is_err());
    }
}
