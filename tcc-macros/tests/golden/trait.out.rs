/// Money of customers.
pub(crate) trait Wallet: Clock + ::core::marker::Send + ::core::marker::Sync + 'static {
    type Currency: Into<u32>;
    /// Puts money aside.
    fn freeze(
        &self,
        cx: &Branch,
        req: Freeze,
    ) -> impl ::core::future::Future<
        Output = Tried<Frozen, WalletError>,
    > + ::core::marker::Send;
    fn settle(
        &self,
        cx: &Branch,
        req: Freeze,
        frozen: Frozen,
    ) -> impl ::core::future::Future<Output = Settled> + ::core::marker::Send;
    fn refund(
        &self,
        cx: &Branch,
        req: Freeze,
        frozen: Option<Frozen>,
    ) -> impl ::core::future::Future<Output = Settled> + ::core::marker::Send {
        async move {
            self.give_back(cx.key(), req).await?;
            Ok(())
        }
    }
    fn send_statement(
        &self,
        cx: &Branch,
        to: String,
    ) -> impl ::core::future::Future<Output = Settled> + ::core::marker::Send;
    async fn give_back(&self, key: BranchKey, req: Freeze) -> Result<(), Error>;
    fn currency(&self) -> Self::Currency;
}
/// The action `wallet.freeze` of [`Wallet`], version 1.
///
/// Puts money aside.
#[allow(dead_code, unreachable_pub)]
pub(crate) struct WalletFreeze;
#[automatically_derived]
impl ::tcc_core::ActionType for WalletFreeze {
    const NAME: &'static ::core::primitive::str = "wallet.freeze";
    const VERSION: ::core::primitive::u16 = 1u16;
    const TIMEOUT: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(
        ::core::time::Duration::from_millis(2000u64),
    );
    const TRIES: ::core::primitive::u32 = 3u32;
    type Request = Freeze;
    type Output = Frozen;
    type Error = WalletError;
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl<__S: Wallet> ::tcc_core::Handler<WalletFreeze> for WalletService<__S> {
    fn r#try(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <WalletFreeze as ::tcc_core::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Tried<
            <WalletFreeze as ::tcc_core::ActionType>::Output,
            <WalletFreeze as ::tcc_core::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        <__S as Wallet>::freeze(&self.0, __cx, __request)
    }
    fn confirm(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <WalletFreeze as ::tcc_core::ActionType>::Request,
        __output: <WalletFreeze as ::tcc_core::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        <__S as Wallet>::settle(&self.0, __cx, __request, __output)
    }
    fn cancel(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <WalletFreeze as ::tcc_core::ActionType>::Request,
        __output: ::core::option::Option<
            <WalletFreeze as ::tcc_core::ActionType>::Output,
        >,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        <__S as Wallet>::refund(&self.0, __cx, __request, __output)
    }
}
/// The action `wallet.statement` of [`Wallet`], version 1.
#[allow(dead_code, unreachable_pub)]
pub(crate) struct WalletSendStatement;
#[automatically_derived]
impl ::tcc_core::ActionType for WalletSendStatement {
    const NAME: &'static ::core::primitive::str = "wallet.statement";
    const VERSION: ::core::primitive::u16 = 1u16;
    const ON_CONFIRM: ::core::primitive::bool = true;
    type Request = String;
    type Output = ();
    type Error = ::tcc_core::Never;
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl<__S: Wallet> ::tcc_core::Handler<WalletSendStatement> for WalletService<__S> {
    fn r#try(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <WalletSendStatement as ::tcc_core::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Tried<
            <WalletSendStatement as ::tcc_core::ActionType>::Output,
            <WalletSendStatement as ::tcc_core::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
    fn confirm(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <WalletSendStatement as ::tcc_core::ActionType>::Request,
        __output: <WalletSendStatement as ::tcc_core::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        <__S as Wallet>::send_statement(&self.0, __cx, __request)
    }
    fn cancel(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <WalletSendStatement as ::tcc_core::ActionType>::Request,
        __output: ::core::option::Option<
            <WalletSendStatement as ::tcc_core::ActionType>::Output,
        >,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
}
/// The participant `wallet`, as transactions call it: `tx.on::<WalletClient>()`. [`Wallet`] is what serves it.
#[allow(dead_code, unreachable_pub)]
pub(crate) struct WalletClient;
/// A [`Wallet`] as a participant that can be registered: made by [`WalletClient::serve`].
#[allow(dead_code, unreachable_pub)]
pub(crate) struct WalletService<S>(::std::sync::Arc<S>);
const _: () = {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` does not implement `Wallet`",
        label = "it can't serve the participant",
        note = "write `impl Wallet for …`: the participant `wallet` is served by what implements its trait"
    )]
    pub trait __Serve<__S, __How> {
        fn __serve(self) -> ::std::sync::Arc<__S>;
    }
    #[allow(deprecated)]
    impl<__S: Wallet> __Serve<__S, ::tcc_core::__private::Itself> for __S {
        fn __serve(self) -> ::std::sync::Arc<__S> {
            ::std::sync::Arc::new(self)
        }
    }
    #[allow(deprecated)]
    impl<__S: Wallet> __Serve<__S, ::tcc_core::__private::Shared>
    for ::std::sync::Arc<__S> {
        fn __serve(self) -> ::std::sync::Arc<__S> {
            self
        }
    }
    #[allow(dead_code, deprecated, unreachable_pub)]
    impl WalletClient {
        /// Makes a participant of a [`Wallet`], or of an `Arc` of one: `builder.register(WalletClient::serve(service))`.
        pub fn serve<__S: Wallet, __How>(
            __service: impl __Serve<__S, __How>,
        ) -> WalletService<__S> {
            WalletService(__Serve::__serve(__service))
        }
    }
};
#[automatically_derived]
#[allow(deprecated, trivial_bounds)]
impl<__S: Wallet> ::tcc_core::Service for WalletService<__S> {
    fn register(self: ::std::sync::Arc<Self>, __registry: &mut ::tcc_core::Registry) {
        ::tcc_core::Registry::add::<
            WalletFreeze,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
        ::tcc_core::Registry::add::<
            WalletSendStatement,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
    }
}
/// The actions of [`Wallet`] as branches of a transaction: what `tx.on` returns.
#[allow(dead_code, unreachable_pub)]
pub(crate) struct WalletStub<'t>(&'t ::tcc_core::Tx);
#[allow(dead_code, unreachable_pub, private_interfaces)]
impl<'t> WalletStub<'t> {
    /// Puts money aside.
    pub fn freeze(
        &self,
        req: Freeze,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<Frozen, ::tcc_core::BranchError<WalletError>>,
    > + ::core::marker::Send + use<'t> {
        ::tcc_core::Tx::call::<WalletFreeze>(self.0, req)
    }
    /// Calls `wallet.statement`.
    pub fn send_statement(
        &self,
        to: String,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::tcc_core::TransactionError>,
    > + ::core::marker::Send + use<'t> {
        let __tx = self.0;
        async move { ::tcc_core::Tx::enlist::<WalletSendStatement>(__tx, to) }
    }
}
#[automatically_derived]
impl ::tcc_core::Participant for WalletClient {
    const NAME: &'static ::core::primitive::str = "wallet";
    type Stub<'t> = WalletStub<'t>;
    fn stub(__tx: &::tcc_core::Tx) -> WalletStub<'_> {
        WalletStub(__tx)
    }
}
