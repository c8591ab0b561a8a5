//! `upcast(1: ReserveV1 -> HoldV1)`: older versions, and what their payloads were.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{LitInt, Token, Type};

use super::{Args, version};
use crate::diagnostics::Diagnostics;

const WRITTEN: &str = "an upcast is written `upcast(1: OldRequest -> OldOutput)`, or `upcast(1: OldRequest)` if the output did \
                       not change";

/// One of them, as it is written.
pub(crate) struct Upcast {
    pub(crate) version: u16,
    /// Where the version is written.
    pub(crate) at: LitInt,
    pub(crate) request: Type,
    /// `None` if it did not change.
    pub(crate) output: Option<Type>,
}

impl Args {
    /// All upcasts; there may be several, together or each by itself.
    pub(crate) fn upcasts(&mut self, diagnostics: &mut Diagnostics) -> Vec<Upcast> {
        let mut upcasts = Vec::new();
        while let Some(arg) = self.take("upcast") {
            let read = arg.inside.clone().and_then(|inside| entries(inside).ok());
            let Some(entries) = read.filter(|entries| !entries.is_empty()) else {
                diagnostics.error(&arg, WRITTEN);
                continue;
            };
            upcasts.extend(entries.into_iter().filter_map(|entry| {
                let version = version(&entry.at, diagnostics)?;
                Some(Upcast { version, at: entry.at, request: entry.request, output: entry.output })
            }));
        }
        upcasts
    }
}

struct Entry {
    at: LitInt,
    request: Type,
    output: Option<Type>,
}

fn entries(inside: TokenStream) -> syn::Result<Vec<Entry>> {
    let entries = Punctuated::<Entry, Token![,]>::parse_terminated.parse2(inside)?;
    Ok(entries.into_iter().collect())
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let at = input.parse()?;
        input.parse::<Token![:]>()?;
        let request = input.parse()?;
        let output = match input.parse::<Option<Token![->]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Self { at, request, output })
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;
    use crate::syntax::show;

    fn read(tokens: TokenStream) -> (Vec<String>, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let mut args = Args::parse("action", &["upcast"], tokens, &mut diagnostics);
        let upcasts = args.upcasts(&mut diagnostics);
        let shown = upcasts.iter().map(|upcast| {
            let output = upcast.output.as_ref().map_or_else(|| "same".to_owned(), show);
            format!("{}: {} -> {output}", upcast.version, show(&upcast.request))
        });
        (shown.collect(), diagnostics.messages())
    }

    #[test]
    fn several_may_be_given_together_or_each_by_itself() {
        let (upcasts, messages) =
            read(quote!(upcast(1: a::V1 -> (u8, Hold<u8>), 2: V2), upcast(3: (u8, u8),)));
        assert_eq!(upcasts, ["1: a::V1 -> (u8, Hold<u8>)", "2: V2 -> same", "3: (u8, u8) -> same"]);
        assert_eq!(messages, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_upcast_is_said_with_what_to_write() {
        for tokens in [
            quote!(upcast),
            quote!(upcast = 1),
            quote!(upcast()),
            quote!(upcast(V1)),
            quote!(upcast(1 = V1)),
            quote!(upcast(1: V1 ->)),
            quote!(upcast(one: V1)),
        ] {
            let (upcasts, messages) = read(tokens.clone());
            assert_eq!((upcasts.len(), messages), (0, vec![WRITTEN.to_owned()]), "{tokens}");
        }
        let (upcasts, messages) = read(quote!(upcast(0: V1, 65536: V1, 1u8: V1, 7: V7)));
        assert_eq!(upcasts, ["7: V7 -> same"]);
        assert_eq!(messages.len(), 3, "{messages:?}");
    }
}
