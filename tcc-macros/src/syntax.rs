//! The user's code as the macros see it. Bodies stay opaque: they are handed on as they were written.

mod block;

use proc_macro2::{Delimiter, Group, Ident, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, PatType, Receiver, ReceiverKind, Signature, Token, Type, Visibility};

pub(crate) use block::{Block, Head, Item};

/// A function or method, its body unread.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Body,
}

/// What a function does, unread.
#[derive(Clone)]
pub(crate) enum Body {
    /// In braces.
    Written(Group),
    /// Only in traits: it is left to who implements it.
    Left(Token![;]),
}

impl Function {
    /// Its parameters, without `self`.
    pub(crate) fn typed_params(&self) -> impl Iterator<Item = &PatType> {
        self.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(param) => Some(param),
            FnArg::Receiver(_) => None,
        })
    }

    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        match self.sig.inputs.first()? {
            FnArg::Receiver(receiver) => Some(receiver),
            FnArg::Typed(_) => None,
        }
    }

    /// The attributes of this name, given bare or by a path through our own crates.
    pub(crate) fn marker(&self, name: &str) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(move |attr| is_ours(attr, name))
    }

    /// Whether it may be absent: it stands under a `cfg`.
    pub(crate) fn is_conditional(&self) -> bool {
        self.attrs.iter().any(|attr| attr.path().is_ident("cfg"))
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let function = Self::parse_in_trait(input)?;
        match function.body {
            Body::Written(_) => Ok(function),
            Body::Left(semi) => Err(syn::Error::new_spanned(
                semi,
                "this method has no body: the attribute stands where it is implemented",
            )),
        }
    }
}

impl Function {
    /// Its body may be left out.
    pub(crate) fn parse_in_trait(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig = input.parse()?;
        let body =
            if input.peek(Token![;]) { Body::Left(input.parse()?) } else { Body::Written(input.parse()?) };
        Ok(Self { attrs, vis, sig, body })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        for attr in &self.attrs {
            attr.to_tokens(tokens);
        }
        self.vis.to_tokens(tokens);
        self.sig.to_tokens(tokens);
        self.body.to_tokens(tokens);
    }
}

impl ToTokens for Body {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Written(braces) => braces.to_tokens(tokens),
            Self::Left(semi) => semi.to_tokens(tokens),
        }
    }
}

/// Whether an attribute is ours: `#[action]`, `#[tcc_core::action]`.
pub(crate) fn is_ours(attr: &Attribute, name: &str) -> bool {
    let path = &attr.path().segments;
    match path.len() {
        1 => path[0].ident == name,
        2 => (path[0].ident == "tcc_core" || path[0].ident == "tcc_macros") && path[1].ident == name,
        _ => false,
    }
}

/// Whether `self` is taken as `&self`.
pub(crate) fn is_shared(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
        ReceiverKind::Typed(_, ty) => matches!(&**ty, Type::Reference(reference)
            if reference.mutability.is_none() && reference.elem.to_token_stream().to_string() == "Self"),
        _ => false,
    }
}

/// The name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

/// `ReserveStock` of `reserve_stock`.
pub(crate) fn camel(ident: &Ident) -> String {
    plain(ident)
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters)
        })
        .collect()
}

/// Whether any token, at any depth, is an identifier for which `is` holds.
pub(crate) fn mentions(tokens: TokenStream, is: &impl Fn(&Ident) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => is(&ident),
        TokenTree::Group(group) => mentions(group.stream(), is),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Whether a type borrows: it holds a reference, or a lifetime other than `'static`.
pub(crate) fn borrows(ty: &Type) -> bool {
    fn any(tokens: TokenStream) -> bool {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let borrowed = match &token {
                TokenTree::Punct(punct) if punct.as_char() == '&' => true,
                TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                    !matches!(tokens.peek(), Some(TokenTree::Ident(name)) if name == "static")
                }
                TokenTree::Group(group) => any(group.stream()),
                TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => false,
            };
            if borrowed {
                return true;
            }
        }
        false
    }
    any(ty.to_token_stream())
}

/// The tokens, with `Self` spelt out.
pub(crate) fn without_self(tokens: TokenStream, self_ty: &Type) -> TokenStream {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(ident) if ident == "Self" => self_ty.to_token_stream(),
            TokenTree::Group(group) => {
                let mut replaced = Group::new(group.delimiter(), without_self(group.stream(), self_ty));
                replaced.set_span(group.span());
                TokenTree::Group(replaced).into()
            }
            token => token.into(),
        })
        .collect()
}

/// Code as people write it, for a message.
pub(crate) fn show(code: impl ToTokens) -> String {
    fn write(tokens: TokenStream, out: &mut String) {
        let mut after_word = false;
        let mut joint = false;
        for token in tokens {
            let word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
            let is_as = matches!(&token, TokenTree::Ident(ident) if ident == "as");
            if word && after_word || is_as {
                out.push(' ');
            }
            after_word = word;
            match token {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => (" { ", " }"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    out.push_str(open);
                    write(group.stream(), out);
                    out.push_str(close);
                }
                TokenTree::Punct(punct) => {
                    let spaced = matches!(punct.as_char(), '=' | '+' | '-') && !joint;
                    let arrow_end = joint && punct.as_char() == '>' && out.ends_with(['-', '=']);
                    if spaced {
                        out.push(' ');
                    }
                    out.push(punct.as_char());
                    joint = punct.spacing() == Spacing::Joint;
                    if arrow_end
                        || (spaced && !joint)
                        || matches!(punct.as_char(), ',' | ';' | ':') && !joint && !out.ends_with("::")
                    {
                        out.push(' ');
                    }
                    continue;
                }
                token => out.push_str(&token.to_string()),
            }
            joint = false;
        }
    }
    let mut out = String::new();
    write(code.to_token_stream(), &mut out);
    out.trim_end_matches([' ', ',']).to_owned()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn code_is_shown_as_written() {
        for code in [
            "Vec<Option<String>>",
            "&'a mut Tx",
            "<Inventory<C> as Shop>::Hold",
            "(u8, [u8; 4])",
            "<Self as Shop>::Hold",
            "async fn ship(&self, cx: &Branch, req: stock::Reserve) -> Settled",
            "impl Fn(u8) -> u8 + Send",
        ] {
            assert_eq!(show(code.parse::<TokenStream>().unwrap()), code);
        }
    }

    #[test]
    fn borrowed_types_are_told_from_owned_ones() {
        for ty in ["&str", "Vec<&'static str>", "Cow<'a, str>", "Order<'_>", "(u8, &[u8])"] {
            assert!(borrows(&syn::parse_str(ty).unwrap()), "{ty}");
        }
        for ty in ["String", "Cow<'static, str>", "[u8; 4]", "Vec<Option<(u8, String)>>"] {
            assert!(!borrows(&syn::parse_str(ty).unwrap()), "{ty}");
        }
    }

    #[test]
    fn types_of_actions_are_named_in_camel_case() {
        assert_eq!(camel(&parse_quote!(reserve_stock_v2)), "ReserveStockV2");
        assert_eq!(camel(&parse_quote!(r#try)), "Try");
    }

    #[test]
    fn self_is_spelt_out() {
        let ty: Type = parse_quote!(Inventory<C>);
        let tokens = "Vec<<Self as Shop>::Hold>".parse().unwrap();
        assert_eq!(show(without_self(tokens, &ty)), "Vec<<Inventory<C> as Shop>::Hold>");
    }
}
