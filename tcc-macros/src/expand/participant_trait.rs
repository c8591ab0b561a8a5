//! A participant's trait: its methods as they are implemented, its client, and what serves it.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ReturnType, Visibility};

use super::participant::ours;
use super::{at, doc};
use crate::model::participant::{Participant, Phases};
use crate::syntax::{Block, Body, Function, Head, plain};

/// Makes the trait one whose methods return futures that are `Send`, and whose implementors can be shared. They are
/// implemented as plain `async fn`.
pub(super) fn rewrite(block: &mut Block, participant: &Participant) {
    let Head::Trait(head) = &mut block.head else { return };
    let span = at(head.ident.span());
    for bound in [
        quote_spanned!(span=> ::core::marker::Send),
        quote_spanned!(span=> ::core::marker::Sync),
        quote_spanned!(span=> 'static),
    ] {
        head.colon_token.get_or_insert_with(|| syn::Token![:](span));
        head.supertraits.push(syn::parse_quote!(#bound));
    }
    let is_called = |method: &Function| {
        participant.actions.iter().any(|action| match &action.phases {
            _ if action.method == method.sig.ident => true,
            Phases::Try { confirm, cancel, .. } => {
                [confirm, cancel].into_iter().flatten().any(|settle| settle.method == method.sig.ident)
            }
            Phases::OnConfirm { .. } => false,
        })
    };
    for method in block.methods_mut().filter(|method| is_called(method)) {
        returns_future(method);
    }
}

/// `fn freeze(…) -> impl Future<Output = …> + Send` of `async fn freeze(…) -> …`.
fn returns_future(method: &mut Function) {
    if method.sig.asyncness.take().is_none() {
        return;
    }
    let (span, output) = match &method.sig.output {
        ReturnType::Type(_, ty) => (at(ty.span()), ty.to_token_stream()),
        ReturnType::Default => (at(method.sig.ident.span()), quote!(())),
    };
    let future = quote_spanned! {span=>
        impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
    method.sig.output = syn::parse_quote_spanned!(span=> -> #future);
    if let Body::Written(body) = &method.body {
        let mut braces = Group::new(Delimiter::Brace, quote_spanned!(span=> async move #body));
        braces.set_span(body.span());
        method.body = Body::Written(braces);
    }
}

/// The types that stand for the trait: who calls it, and who serves it.
pub(super) fn client_and_service(participant: &Participant, vis: &Visibility) -> TokenStream {
    let Participant { tcc, name, ident, cfgs, .. } = participant;
    let (client, service, wallet) = (client_name(ident), service_name(ident), ours(ident));
    let of_client = doc(&format!(
        "The participant `{name}`, as transactions call it: `tx.on::<{client}>()`. [`{ident}`] is what serves it."
    ));
    let of_service =
        doc(&format!("A [`{ident}`] as a participant that can be registered: made by [`{client}::serve`]."));
    let of_serve = doc(&format!(
        "Makes a participant of a [`{ident}`], or of an `Arc` of one: `builder.register({client}::serve(service))`."
    ));
    let unmet = format!("`{{Self}}` does not implement `{ident}`");
    let note = format!(
        "write `impl {ident} for …`: the participant `{name}` is served by what implements its trait"
    );
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #of_client
        #[allow(dead_code, unreachable_pub)]
        #vis struct #client;

        #(#cfgs)*
        #of_service
        #[allow(dead_code, unreachable_pub)]
        #vis struct #service<S>(::std::sync::Arc<S>);

        #(#cfgs)*
        const _: () = {
            #[diagnostic::on_unimplemented(
                message = #unmet,
                label = "it can't serve the participant",
                note = #note
            )]
            pub trait __Serve<__S, __How> {
                fn __serve(self) -> ::std::sync::Arc<__S>;
            }

            #[allow(deprecated)]
            impl<__S: #wallet> __Serve<__S, #tcc::__private::Itself> for __S {
                fn __serve(self) -> ::std::sync::Arc<__S> {
                    ::std::sync::Arc::new(self)
                }
            }

            #[allow(deprecated)]
            impl<__S: #wallet> __Serve<__S, #tcc::__private::Shared> for ::std::sync::Arc<__S> {
                fn __serve(self) -> ::std::sync::Arc<__S> {
                    self
                }
            }

            #[allow(dead_code, deprecated, unreachable_pub)]
            impl #client {
                #of_serve
                pub fn serve<__S: #wallet, __How>(__service: impl __Serve<__S, __How>) -> #service<__S> {
                    #service(__Serve::__serve(__service))
                }
            }
        };
    }
}

/// `WalletClient`
pub(super) fn client_name(ident: &Ident) -> Ident {
    format_ident!("{}Client", plain(ident), span = at(ident.span()))
}

/// `WalletService`
pub(super) fn service_name(ident: &Ident) -> Ident {
    format_ident!("{}Service", plain(ident), span = at(ident.span()))
}
