//! A transactional function: itself, and its twin that joins an open transaction.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, FnArg, GenericParam, Generics, ItemImpl, PatType, ReturnType, Type, TypeReference,
    WherePredicate,
};

use super::{at, doc, duration};
use crate::diagnostics::Diagnostics;
use crate::model::nested;
use crate::model::transactional::{Place, Transactional, is_async_trait, plain_name, read};
use crate::syntax::{Block, Body, Function, Item, is_ours, is_shared, mentions, plain};

/// A block, each method of which that is marked `#[transactional]` is expanded.
pub(super) fn block(
    args: TokenStream,
    block: &Block,
    head: &ItemImpl,
    diagnostics: &mut Diagnostics,
) -> TokenStream {
    if !args.is_empty() {
        let message = "on an `impl` block `#[transactional]` takes no arguments: write them on its methods, \
                       as in `#[transactional(name = \"checkout\")]`";
        diagnostics.error(args, message);
    }
    if !block.methods().any(|method| method.marker("transactional").next().is_some()) {
        let message = "no method of this block is marked `#[transactional]`: mark those that are transactions of their own";
        diagnostics.error(&head.self_ty, message);
    }
    let place = if head.trait_.is_some() { Place::Trait } else { Place::Inherent };
    let begin = nested::not_independent(block.methods());
    let mut items = TokenStream::new();
    for item in &block.items {
        match item {
            Item::Method(method) if method.marker("transactional").next().is_some() => {
                let mut method = method.clone();
                let marker = method.marker("transactional").next().cloned();
                method.attrs.retain(|attr| !is_ours(attr, "transactional"));
                if matches!(method.body, Body::Left(_)) {
                    // rustc says so.
                    method.to_tokens(&mut items);
                    continue;
                }
                let args = marker.map(|marker| match marker.meta {
                    syn::Meta::List(list) => list.tokens,
                    _ => TokenStream::new(),
                });
                items.extend(function(args.unwrap_or_default(), *method, place, &begin, diagnostics));
            }
            item => item.to_tokens(&mut items),
        }
    }
    block.with_items(&items)
}

/// One function. It may not begin those transactions that are named.
pub(super) fn function(
    args: TokenStream,
    function: Function,
    place: Place,
    begin: &[String],
    diagnostics: &mut Diagnostics,
) -> TokenStream {
    let mut transactional = read(args, function, place, diagnostics);
    transactional.is_sound &= nested::check(&transactional.function, begin, place, diagnostics);
    match place {
        // It is a trait's method, and its mistake has been said: nothing more may be wrong with it.
        Place::Unknown | Place::Inherent if is_async_trait(&transactional.function) => {
            alone_and_unsound(&transactional)
        }
        Place::Trait => alone(&transactional),
        Place::Unknown | Place::Inherent => {
            let outer = outer(&transactional);
            let twin = twin(&transactional);
            quote!(#outer #twin)
        }
    }
}

/// The function as it is called, which runs its twin in a new transaction.
fn outer(transactional: &Transactional) -> TokenStream {
    let Transactional { tcc, function, params, .. } = transactional;
    let mut outer = without_tx(transactional);
    outer.attrs = function.attrs.iter().filter(|attr| belongs_to_both(attr)).cloned().collect();
    // Under a name that it may have here: a pattern is taken apart by the twin.
    let names: Vec<Ident> = params
        .iter()
        .enumerate()
        .map(|(at, param)| {
            plain_name(param)
                .cloned()
                .unwrap_or_else(|| format_ident!("__arg{at}", span = Span::mixed_site()))
        })
        .collect();
    let mut passed = names.iter();
    for input in &mut outer.sig.inputs {
        match input {
            FnArg::Receiver(receiver) if matches!(receiver.kind, syn::ReceiverKind::Value) => {
                receiver.mutability = None
            }
            FnArg::Receiver(_) => {}
            FnArg::Typed(param) => {
                let name = passed.next();
                param.pat = syn::parse_quote!(#name);
            }
        }
    }

    let twin = twin_name(&function.sig.ident);
    let tx = Ident::new("__tx", Span::mixed_site());
    let generics = function.sig.generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    });
    let generics: Vec<_> = generics.collect();
    let turbofish = (!generics.is_empty()).then(|| quote!(::<#(#generics),*>));
    let body_span = at(function.sig.ident.span());
    let this = function.receiver().map(|receiver| receiver.self_token).into_iter();
    let path = match (function.receiver(), transactional.place) {
        (None, Place::Unknown | Place::Trait) => quote!(#twin),
        _ => quote_spanned!(body_span=> Self::#twin),
    };
    let call = quote_spanned!(body_span=> #path #turbofish(#(#this,)* #tx, #(#names),*));
    let closure = quote_spanned! {body_span=>
        async |#tx: &#tcc::Tx| #tcc::__private::body_of_a_transaction_is_send(#call).await
    };
    let run = run(transactional, &names, &closure);
    outer.body = braces(if transactional.is_sound { run } else { unsound(&names) });
    outer.to_token_stream()
}

/// The function that joins an open transaction: the user's own code.
fn twin(transactional: &Transactional) -> TokenStream {
    let function = &transactional.function;
    let mut twin = function.clone();
    twin.sig.ident = twin_name(&function.sig.ident);
    if !transactional.is_sound && transactional.tx_at.is_none() {
        // The body of a function without a `tx` is already in the way of nobody: there is nothing that it could join.
        twin.attrs.push(syn::parse_quote!(#[allow(dead_code)]));
    }
    // A body that awaits is not to be blamed for an `async` that is missing elsewhere.
    if !transactional.is_sound && twin.sig.asyncness.is_none() && !returns_a_future(function) {
        twin.sig.asyncness = Some(syn::Token![async](function.sig.fn_token.span));
    }
    let params = twin.sig.inputs.iter_mut().enumerate().filter_map(|(at, input)| match input {
        FnArg::Typed(param) if Some(at) != transactional.tx_at => Some(param),
        FnArg::Typed(_) | FnArg::Receiver(_) => None,
    });
    for (index, param) in params.enumerate() {
        if transactional.is_used_beside_the_body(index) {
            param.attrs.push(syn::parse_quote!(#[allow(unused_variables)]));
        }
    }
    let note = doc("");
    let joins = doc(&format!(
        "Joins a transaction that is already open, where `{}` begins one of its own.",
        plain(&function.sig.ident)
    ));
    let (docs, others): (Vec<_>, Vec<_>) = twin.attrs.drain(..).partition(|attr| attr.path().is_ident("doc"));
    let separator = (!docs.is_empty()).then_some(note);
    twin.attrs = others;
    quote!(#(#docs)* #separator #joins #[allow(dead_code)] #twin)
}

/// The function where nothing can stand beside it: with its body inside.
fn alone(transactional: &Transactional) -> TokenStream {
    let Transactional { function, tx, .. } = transactional;
    let mut alone = without_tx(transactional);
    let body = &function.body;
    let names: Vec<Ident> = transactional.params.iter().filter_map(plain_name).cloned().collect();
    let (Some(tx), ReturnType::Type(_, returns)) = (tx, &function.sig.output) else {
        alone.body = braces(unsound(&names));
        return alone.to_token_stream();
    };
    let closure = quote!(async |#tx| -> #returns #body);
    let run = run(transactional, &names, &closure);
    alone.body = braces(if transactional.is_sound { run } else { unsound(&names) });
    alone.to_token_stream()
}

/// The function as the trait has it, without its body, though none of its types goes unused.
fn alone_and_unsound(transactional: &Transactional) -> TokenStream {
    let mut alone = without_tx(transactional);
    let names: Vec<Ident> = transactional.params.iter().filter_map(plain_name).cloned().collect();
    let unsound = unsound(&names);
    let tx = transactional.tx.as_ref().and_then(|tx| match &*tx.ty {
        Type::Reference(reference) => Some(&reference.elem),
        _ => None,
    });
    let tx = tx.map(|tx| quote!(let _ = ::core::marker::PhantomData::<#tx>;));
    alone.body = braces(quote!(#tx #unsound));
    alone.to_token_stream()
}

/// Runs the closure as the body of a transaction.
fn run(transactional: &Transactional, names: &[Ident], closure: &TokenStream) -> TokenStream {
    let Transactional { tcc, function, place, name, on, timeout, independent, key, .. } = transactional;
    let returns = match &function.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => function.sig.ident.span(),
    };
    let found = match (function.receiver(), on) {
        (Some(receiver), Some(Expr::Field(field))) if transactional.on_is_default => {
            let (this, field) = (receiver.self_token, &field.member);
            let this = if is_shared(receiver) { quote!(#this) } else { quote!(&#this) };
            quote!(#tcc::__private::AddOneOrWriteOnEqualsSelfDotItsName(#this).#field)
        }
        _ => on.to_token_stream(),
    };
    let owned = if transactional.borrows_coordinator() {
        // At the user's expression: it may be something else.
        quote_spanned!(on.span()=> &#found)
    } else {
        quote_spanned!(on.span()=> ::core::clone::Clone::clone(&#found))
    };
    let coordinator_is = with_parts(transactional, names, &on.to_token_stream(), owned);
    let [coordinator, transaction] =
        ["__coordinator", "__transaction"].map(|name| Ident::new(name, Span::mixed_site()));
    let borrows = transactional.borrows_coordinator();
    let borrowed = if borrows { quote!(#coordinator) } else { quote!(&#coordinator) };
    let its_type = borrows.then(|| quote!(: &#tcc::Coordinator));

    let timeout = timeout.map(|timeout| {
        let timeout = duration(timeout);
        quote!(.timeout(#timeout))
    });
    let independent = independent.then(|| quote!(.independent()));
    let mut used_by_key = TokenStream::new();
    let key = key.as_ref().map(|keyed| {
        keyed.key.to_tokens(&mut used_by_key);
        keyed.request.to_tokens(&mut used_by_key);
        let expr = &keyed.key;
        let request = match &keyed.request {
            Some(request) => quote_spanned!(at(request.span())=> &#request),
            None => {
                let args = transactional.request_params().filter_map(|(index, param)| {
                    // In a trait a pattern has no name of its own; its parts are not guessed at.
                    let name = plain_name(param)
                        .or_else(|| (*place != Place::Trait).then(|| names.get(index)).flatten());
                    name.map(|name| quote_spanned!(at(param.span())=> &#name,))
                });
                let args: Vec<_> = args.collect();
                let first = args.first().map_or_else(|| expr.span(), Spanned::span);
                quote_spanned!(at(first)=> &(#(#args)*))
            }
        };
        let (key_at, request_at) = (at(expr.span()), request.span());
        let reuse = keyed.reuse_after_cancel.then(|| quote!(.reuse_after_cancel()));
        let key = quote_spanned!(key_at=> .key(&#expr));
        let request = quote_spanned!(request_at=> .request(#request));
        quote!(#key #request #reuse)
    });
    let begin = quote_spanned! {Span::mixed_site()=>
        #tcc::Coordinator::transaction(#borrowed, #name) #timeout #independent #key
    };
    let begin = with_parts(transactional, names, &used_by_key, begin);
    // All of the call is shown at one place, so that what is wrong with it is said once.
    let mut this = transaction.clone();
    this.set_span(at(returns));
    let run = quote_spanned!(at(returns)=> #this.run(#closure).await);
    quote_spanned! {Span::mixed_site()=>
        let #coordinator #its_type = #coordinator_is;
        let #transaction = #begin;
        #run
    }
}

/// Code that uses the user's expressions, given what these see of the parameters that are taken apart. Those are only
/// looked at here: they are taken apart for good where the body is.
fn with_parts(
    transactional: &Transactional,
    names: &[Ident],
    used: &TokenStream,
    code: TokenStream,
) -> TokenStream {
    if transactional.place == Place::Trait {
        return code;
    }
    let parts = transactional.params.iter().zip(names).filter(|(param, _)| {
        let names_a_part = |word: &Ident| mentions(used.clone(), &|used| used == word);
        plain_name(param).is_none() && mentions(param.pat.to_token_stream(), &names_a_part)
    });
    let lets: Vec<_> = parts
        .map(|(param, name)| {
            let pat = without_mut(param.pat.to_token_stream());
            quote_spanned!(Span::mixed_site()=> #[allow(unused_variables)] let #pat = &#name;)
        })
        .collect();
    if lets.is_empty() { code } else { quote!({ #(#lets)* #code }) }
}

fn without_mut(pat: TokenStream) -> TokenStream {
    let kept = pat.into_iter().filter(|token| !matches!(token, TokenTree::Ident(word) if word == "mut"));
    kept.map(|token| match token {
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), without_mut(group.stream()));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        token => token,
    })
    .collect()
}

/// The signature as it is called: without `tx`, and async.
fn without_tx(transactional: &Transactional) -> Function {
    let mut function = transactional.function.clone();
    if let Some(tx_at) = transactional.tx_at {
        let inputs = function.sig.inputs.into_pairs().enumerate().filter(|(at, _)| *at != tx_at);
        function.sig.inputs = inputs.map(|(_, pair)| pair).collect();
    }
    if is_async_trait(&function) {
        without_lifetime_of(transactional.tx.as_ref(), &mut function.sig.generics);
    }
    if function.sig.asyncness.is_none() && !returns_a_future(&function) {
        function.sig.asyncness = Some(syn::Token![async](function.sig.fn_token.span));
    }
    function
}

/// Takes out the lifetime that `#[async_trait]` has given to `tx`: the trait's method has none like it.
fn without_lifetime_of(tx: Option<&PatType>, generics: &mut Generics) {
    let Some(Type::Reference(TypeReference { lifetime: Some(lifetime), .. })) = tx.map(|tx| &*tx.ty) else {
        return;
    };
    let params = std::mem::take(&mut generics.params);
    let is_it =
        |param: &GenericParam| matches!(param, GenericParam::Lifetime(param) if param.lifetime == *lifetime);
    generics.params = params.into_iter().filter(|param| !is_it(param)).collect();
    if let Some(clause) = &mut generics.where_clause {
        let bounds = std::mem::take(&mut clause.predicates);
        let is_its = |bound: &WherePredicate| matches!(bound, WherePredicate::Lifetime(bound) if bound.lifetime == *lifetime);
        clause.predicates = bounds.into_iter().filter(|bound| !is_its(bound)).collect();
    }
}

/// Whether it is async by its return type: `#[async_trait]` has made it so, or its author.
fn returns_a_future(function: &Function) -> bool {
    match &function.sig.output {
        ReturnType::Type(_, ty) => mentions(ty.to_token_stream(), &|word| word == "Future"),
        ReturnType::Default => false,
    }
}

fn twin_name(ident: &Ident) -> Ident {
    format_ident!("{}_in", plain(ident), span = ident.span())
}

/// Attributes that say the same of both; all others are about the body, and go with it.
fn belongs_to_both(attr: &Attribute) -> bool {
    ["doc", "cfg", "allow", "warn", "deny", "forbid", "deprecated", "must_use"]
        .iter()
        .any(|both| attr.path().is_ident(both))
}

/// A body that takes part in no error of rustc's.
fn unsound(names: &[Ident]) -> TokenStream {
    quote! {
        #(let _ = &#names;)*
        ::core::unreachable!()
    }
}

fn braces(tokens: TokenStream) -> Body {
    Body::Written(Group::new(Delimiter::Brace, tokens))
}
