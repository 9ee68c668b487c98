// Package plugin is the main function of the executables of this module. They differ in the
// provider that they are linked with.
//
// An executable sigstore-kms-SCHEME speaks Sigstore's plugin protocol, version 1
// (https://github.com/sigstore/sigstore/blob/main/pkg/signature/kms/cliplugin/README.md). Its
// arguments are the version and one JSON document, standard input is the message, and standard
// output is one JSON document. Errors are in that document, too. It finds its credentials in its
// environment, as the provider's own tools do.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/encoding"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// Main is the main function of the executable for scheme, such as "awskms", whose provider the
// executable has to import. It does not return.
//
// It leaves signals alone. Not every provider heeds a context, and a plugin that is interrupted has
// nothing to put in order.
func Main(scheme string) {
	if err := run(context.Background(), scheme, os.Args, os.Stdin, os.Stdout); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// run answers the call that argv (with the executable's name) makes. The error is in the answer
// already, if it could be written.
func run(ctx context.Context, scheme string, argv []string, stdin io.Reader, stdout io.Writer) error {
	answer, err := call(ctx, scheme, argv, stdin)
	if err != nil {
		return errors.Join(err, handler.WriteErrorResponse(stdout, err))
	}
	return handler.WriteResponse(stdout, answer)
}

// call has the provider's key answer.
func call(ctx context.Context, scheme string, argv []string, stdin io.Reader) (*common.PluginResp, error) {
	if len(argv) < 3 {
		return nil, errors.New("want the arguments of Sigstore's plugin protocol; cosign and twice call this program")
	}
	if argv[1] != common.ProtocolVersion {
		return nil, fmt.Errorf("protocol version %q: want %s", argv[1], common.ProtocolVersion)
	}

	args, err := handler.GetPluginArgs(argv)
	if err != nil {
		return nil, err
	}
	if args.InitOptions == nil || args.MethodArgs == nil {
		return nil, errors.New("arguments without initOptions or methodName")
	}

	if t := args.InitOptions.CtxDeadline; t != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, *t)
		defer cancel()
	}
	// Without its provider this program would look for a plugin, which is itself.
	if !slices.Contains(kms.SupportedProviders(), scheme+"://") {
		return nil, errors.New("built without its provider")
	}

	ref := scheme + "://" + args.InitOptions.KeyResourceID
	rpc := args.InitOptions.RPCOptions
	if rpc == nil {
		rpc = &common.RPCOptions{}
	}

	key, err := kms.Get(ctx, ref, args.InitOptions.HashFunc, encoding.UnpackRPCOptions(rpc)...)
	if err != nil {
		return nil, err
	}
	return dispatch(stdin, args.MethodArgs, key)
}

// dispatch is handler.Dispatch, except that it refuses a call without the arguments of its method.
func dispatch(stdin io.Reader, args *common.MethodArgs, key kms.SignerVerifier) (*common.PluginResp, error) {
	missing := fmt.Errorf("%s: no arguments", args.MethodName)

	var resp common.PluginResp
	var err error
	switch args.MethodName {
	case common.DefaultAlgorithmMethodName:
		resp.DefaultAlgorithm, err = handler.DefaultAlgorithm(stdin, args.DefaultAlgorithm, key)
	case common.SupportedAlgorithmsMethodName:
		resp.SupportedAlgorithms, err = handler.SupportedAlgorithms(stdin, args.SupportedAlgorithms, key)
	case common.CreateKeyMethodName:
		if args.CreateKey == nil {
			return nil, missing
		}
		resp.CreateKey, err = handler.CreateKey(stdin, args.CreateKey, key)
	case common.PublicKeyMethodName:
		if args.PublicKey == nil || args.PublicKey.PublicKeyOptions == nil {
			return nil, missing
		}
		resp.PublicKey, err = handler.PublicKey(stdin, args.PublicKey, key)
	case common.SignMessageMethodName:
		if args.SignMessage == nil || args.SignMessage.SignOptions == nil {
			return nil, missing
		}
		resp.SignMessage, err = handler.SignMessage(stdin, args.SignMessage, key)
	case common.VerifySignatureMethodName:
		if args.VerifySignature == nil || args.VerifySignature.VerifyOptions == nil {
			return nil, missing
		}
		resp.VerifySignature, err = handler.VerifySignature(stdin, args.VerifySignature, key)
	default:
		err = fmt.Errorf("unsupported method %q", args.MethodName)
	}
	if err != nil {
		return nil, err
	}
	return &resp, nil
}
