//! A participant: its actions' types, its handlers, its stub.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::{at, doc, duration};
use crate::model::participant::{Action, Participant, Phases, Returns, Settle};
use crate::syntax::plain;

pub(super) fn expand(participant: &Participant) -> TokenStream {
    let actions = participant.actions.iter().map(|action| {
        let action_type = action_type(participant, action);
        let handler = handler(participant, action);
        quote!(#action_type #handler)
    });
    let service = service(participant);
    let stub = stub(participant);
    quote!(#(#actions)* #service #stub)
}

/// What the action is: `InventoryReserve`.
fn action_type(participant: &Participant, action: &Action) -> TokenStream {
    let Participant { tcc, ident: service, .. } = participant;
    let Action { ident, name, version, vis, docs, cfgs, request, .. } = action;
    let ident = ours(ident);
    let summary = doc(&format!("The action `{name}` of [`{service}`], version {version}."));
    let separator = (!docs.is_empty()).then(|| doc(""));
    let request = &request.ty;
    let (output, error) = answer(participant, action);
    let on_confirm = matches!(action.phases, Phases::OnConfirm).then(|| {
        quote!(
            const ON_CONFIRM: ::core::primitive::bool = true;
        )
    });
    let timeout = action.timeout.map(|timeout| {
        let timeout = duration(timeout);
        quote! {
            const TIMEOUT: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(#timeout);
        }
    });
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #summary
        #separator
        #(#docs)*
        #[allow(dead_code, unreachable_pub)]
        #vis struct #ident;

        #(#cfgs)*
        #[automatically_derived]
        impl #tcc::ActionType for #ident {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u16 = #version;
            #on_confirm
            #timeout
            type Request = #request;
            type Output = #output;
            type Error = #error;
        }
    }
}

/// What the action's try returns, and what it refuses with. Never by way of the action's own type: it may be private
/// where the stub is used.
fn answer(participant: &Participant, action: &Action) -> (TokenStream, TokenStream) {
    let tcc = &participant.tcc;
    match &action.phases {
        Phases::OnConfirm | Phases::Try { returns: Returns::Unknown, .. } => {
            (quote!(()), quote!(#tcc::Never))
        }
        Phases::Try { returns: Returns::Tried { output, error }, .. } => (output.clone(), error.clone()),
        Phases::Try { returns: Returns::Other(ty), .. } => {
            let span = at(action.returns_span);
            (
                quote_spanned!(span=> <#ty as #tcc::__private::TryAnswer>::Output),
                quote_spanned!(span=> <#ty as #tcc::__private::TryAnswer>::Error),
            )
        }
    }
}

/// How the service does it: by its own methods.
fn handler(participant: &Participant, action: &Action) -> TokenStream {
    let Participant { tcc, self_ty, generics, .. } = participant;
    let Action { ident, cfgs, .. } = action;
    let ident = ours(ident);
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (output, error) =
        (quote!(<#ident as #tcc::ActionType>::Output), quote!(<#ident as #tcc::ActionType>::Error));

    let done = quote!(::core::future::ready(::core::result::Result::Ok(())));
    let unsound = quote!(::core::future::pending());
    let calls = |method: &Ident, cx, request, output: Option<Span>, returns| {
        let span = at(returns);
        let [cx, request] =
            [("__cx", cx), ("__request", request)].map(|(name, span)| Ident::new(name, at(span)));
        let output = output.map(|span| Ident::new("__output", at(span))).into_iter();
        quote_spanned!(span=> Self::#method(self, #cx, #request #(, #output)*))
    };
    let settles = |settle: &Option<Settle>| match settle {
        _ if !action.is_sound => unsound.clone(),
        Some(settle) => calls(&settle.method, settle.cx, settle.request, Some(settle.output), settle.returns),
        None => done.clone(),
    };
    let own = || calls(&action.method, action.cx_span, action.cx_span, None, action.returns_span);
    let (tries, confirms, cancels) = match &action.phases {
        _ if !action.is_sound => (unsound.clone(), unsound.clone(), unsound.clone()),
        Phases::Try { confirm, cancel, .. } => (own(), settles(confirm), settles(cancel)),
        Phases::OnConfirm => (done.clone(), own(), done.clone()),
    };

    let span_of =
        |settle: &Option<Settle>| settle.as_ref().map_or(action.method.span(), |settle| settle.method.span());
    let (try_span, confirm_span, cancel_span) = match &action.phases {
        Phases::Try { confirm, cancel, .. } => (action.method.span(), span_of(confirm), span_of(cancel)),
        Phases::OnConfirm => (action.method.span(), action.method.span(), action.method.span()),
    };
    let param = |name| Ident::new(name, Span::mixed_site());
    let (cx, request, out) = (param("__cx"), param("__request"), param("__output"));
    let future = |span: Span, output: TokenStream| quote_spanned!(at(span)=> impl ::core::future::Future<Output = #output> + ::core::marker::Send);
    let tried = future(try_span, quote!(#tcc::Tried<#output, #error>));
    let confirmed = future(confirm_span, quote!(#tcc::Settled));
    let cancelled = future(cancel_span, quote!(#tcc::Settled));
    let request_type = quote!(<#ident as #tcc::ActionType>::Request);
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated, unused_variables)]
        impl #impl_generics #tcc::Handler<#ident> for #self_ty #where_clause {
            fn r#try(&self, #cx: &#tcc::Branch, #request: #request_type) -> #tried {
                #tries
            }

            fn confirm(&self, #cx: &#tcc::Branch, #request: #request_type, #out: #output) -> #confirmed {
                #confirms
            }

            fn cancel(
                &self,
                #cx: &#tcc::Branch,
                #request: #request_type,
                #out: ::core::option::Option<#output>,
            ) -> #cancelled {
                #cancels
            }
        }
    }
}

/// What registers all handlers.
fn service(participant: &Participant) -> TokenStream {
    let Participant { tcc, self_ty, generics, actions, .. } = participant;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let adds = actions.iter().map(|Action { ident, cfgs, .. }| {
        let ident = ours(ident);
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #tcc::Registry::add::<#ident, Self>(__registry, ::core::clone::Clone::clone(&self));
        }
    });
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #impl_generics #tcc::Service for #self_ty #where_clause {
            fn register(self: ::std::sync::Arc<Self>, __registry: &mut #tcc::Registry) {
                #(#adds)*
            }
        }
    }
}

/// What a transaction calls.
fn stub(participant: &Participant) -> TokenStream {
    let Participant { tcc, name, self_ty, ident: service, generics, actions } = participant;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let stub = format_ident!("{}Stub", plain(service), span = at(service.span()));
    let summary =
        doc(&format!("The actions of [`{service}`] as branches of a transaction: what `tx.on` returns."));
    let methods = actions.iter().map(|action| {
        let Action { ident, docs, cfgs, deprecated, method, request, .. } = action;
        let ident = ours(ident);
        let (request, ty) = (&request.ident, &request.ty);
        let docs =
            if docs.is_empty() { doc(&format!("Calls `{}`.", action.name)) } else { quote!(#(#docs)*) };
        let (answer, call) = match action.phases {
            Phases::Try { .. } => {
                let (output, error) = answer(participant, action);
                (
                    quote!(::core::result::Result<#output, #tcc::BranchError<#error>>),
                    quote_spanned!(Span::mixed_site()=> #tcc::Tx::call::<#ident>(self.0, #request)),
                )
            }
            Phases::OnConfirm => (
                quote!(::core::result::Result<(), #tcc::TransactionError>),
                quote_spanned! {Span::mixed_site()=>
                    let __tx = self.0;
                    async move { #tcc::Tx::enlist::<#ident>(__tx, #request) }
                },
            ),
        };
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #docs
            #(#deprecated)*
            pub fn #method(
                &self,
                #request: #ty,
            ) -> impl ::core::future::Future<Output = #answer> + ::core::marker::Send + use<'t> {
                #call
            }
        }
    });
    quote_spanned! {Span::mixed_site()=>
        #summary
        #[allow(dead_code, unreachable_pub)]
        pub struct #stub<'t>(&'t #tcc::Tx);

        #[allow(dead_code, unreachable_pub, private_interfaces)]
        impl<'t> #stub<'t> {
            #(#methods)*
        }

        #[automatically_derived]
        impl #impl_generics #tcc::Participant for #self_ty #where_clause {
            const NAME: &'static ::core::primitive::str = #name;
            type Stub<'t> = #stub<'t>;

            fn stub(__tx: &#tcc::Tx) -> #stub<'_> {
                #stub(__tx)
            }
        }
    }
}

/// The same name, our own, shown at the user's code.
fn ours(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(at(ident.span()));
    ident
}
