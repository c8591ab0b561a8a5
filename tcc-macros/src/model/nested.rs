//! A transaction that is begun inside another's body: by a call of a method of the same block.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;

use super::transactional::Place;
use crate::args::Args;
use crate::diagnostics::Diagnostics;
use crate::syntax::{Function, plain};

/// The methods among these that begin a transaction, and may not do so inside another.
pub(crate) fn not_independent<'a>(methods: impl Iterator<Item = &'a Function>) -> Vec<String> {
    let of = |method: &Function| {
        method.marker("transactional").next().is_some_and(|marker| {
            !Args::of("transactional", &["independent"], marker, &mut Diagnostics::default())
                .has("independent")
        })
    };
    methods.filter(|method| of(method)).map(|method| plain(&method.sig.ident)).collect()
}

/// The same of one method whose arguments are these.
pub(crate) fn not_independent_by(args: &TokenStream, method: &Function) -> Vec<String> {
    // What is wrong with them is said where the method is expanded.
    let mut unheard = Diagnostics::default();
    let args = Args::parse("transactional", &["independent"], args.clone(), &mut unheard);
    if args.has("independent") { Vec::new() } else { vec![plain(&method.sig.ident)] }
}

/// Reports the calls of such methods in the body of another. Whether there are none.
pub(crate) fn check(
    method: &Function,
    begin: &[String],
    place: Place,
    diagnostics: &mut Diagnostics,
) -> bool {
    let mut called = Vec::new();
    calls(method.body.to_token_stream(), begin, &mut called);
    for call in &called {
        let (this, other) = (&method.sig.ident, plain(call));
        let instead = if place == Place::Trait {
            format!("mark `{other}` with `independent`, or share a function that takes `tx: &Tx`")
        } else {
            format!("join it with `self.{other}_in(tx, …)`, or mark `{other}` with `independent`")
        };
        diagnostics.error(
            call,
            format!("`{this}` begins the transaction `{other}` inside its own, which would fail: {instead}"),
        );
    }
    called.is_empty()
}

/// Finds `self.checkout(…)` and `Self::checkout(…)`.
fn calls(body: TokenStream, begin: &[String], called: &mut Vec<Ident>) {
    let tokens: Vec<_> = body.into_iter().collect();
    let punct =
        |at: usize, is: char| matches!(tokens.get(at), Some(TokenTree::Punct(it)) if it.as_char() == is);
    for (at, token) in tokens.iter().enumerate() {
        let name = match token {
            TokenTree::Group(group) => {
                calls(group.stream(), begin, called);
                continue;
            }
            TokenTree::Ident(word) if word == "self" && punct(at + 1, '.') => at + 2,
            TokenTree::Ident(word) if word == "Self" && punct(at + 1, ':') && punct(at + 2, ':') => at + 3,
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => continue,
        };
        let is_call = punct(name + 1, ':')
            || matches!(tokens.get(name + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        if let Some(TokenTree::Ident(name)) = tokens.get(name)
            && is_call
            && begin.contains(&plain(name))
        {
            called.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn calls_on_self_are_found_wherever_they_stand() {
        let body = quote!({
            let a = self.buy(1).await?;
            tokio::join!(async { Self::sell(&self, 2).await }, self.r#buy::<u8>());
            self.buy_in(tx, 1).await; // joins
            let later = self.buy; // a field
            other.buy(1).await; // of another
            self.stock.buy(3);
            buy(4)
        });
        let mut called = Vec::new();
        calls(body, &["buy".to_owned(), "sell".to_owned()], &mut called);
        let called: Vec<_> = called.iter().map(ToString::to_string).collect();
        assert_eq!(called, ["buy", "sell", "r#buy"]);
    }

    #[test]
    fn what_is_independent_may_begin_anywhere() {
        let methods = [
            "#[transactional] async fn a(&self) {}",
            "#[transactional(name = \"b\", independent)] async fn b(&self) {}",
            "async fn c(&self) {}",
            "#[tcc_core::transactional(timeout = \"1s\")] async fn d(&self) {}",
        ];
        let methods: Vec<Function> = methods.iter().map(|method| syn::parse_str(method).unwrap()).collect();
        assert_eq!(not_independent(methods.iter()), ["a", "d"]);
    }
}
