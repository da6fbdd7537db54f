// The OpenID provider of github.com/zitadel/oidc with the storage of its example, and three things
// that the example leaves out: access tokens are JWTs for an API, they have roles, and the key that
// signs them changes.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	audience   = "https://api.example"
	roleScope  = "role:"
	keysPath   = "/keys"
	rotatePath = "/test/rotate"
	countPath  = "/test/fetches"
)

// Signs with its first key, and publishes all.
type rotating struct {
	*storage.Storage
	lock sync.Mutex
	keys []key
}

type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k key) ID() string                                  { return k.id }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k key) Key() any                                    { return k.private }

type public struct{ key }

func (p public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p public) Use() string                        { return "sig" }
func (p public) Key() any                           { return &p.private.PublicKey }

// A client whose access tokens are JWTs.
type client struct{ op.Client }

func (client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (r *rotating) rotate() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.keys = append([]key{{uuid.NewString(), private}}, r.keys...)
	return nil
}

func (r *rotating) SigningKey(context.Context) (op.SigningKey, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.keys[0], nil
}

func (r *rotating) KeySet(context.Context) ([]op.Key, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	keys := []op.Key{}
	for _, key := range r.keys {
		keys = append(keys, public{key})
	}
	return keys, nil
}

func (r *rotating) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	found, err := r.Storage.ClientCredentials(ctx, id, secret)
	if err != nil {
		return nil, err
	}
	return client{found}, nil
}

func (r *rotating) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: id, Audience: []string{audience}, Scopes: scopes}, nil
}

func (r *rotating) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	roles := []string{}
	for _, scope := range scopes {
		if role, isRole := strings.CutPrefix(scope, roleScope); isRole {
			roles = append(roles, role)
		}
	}
	return map[string]any{"roles": roles}, nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	issuer := "http://" + listener.Addr().String()
	own := &rotating{Storage: storage.NewStorage(storage.NewUserStore(issuer + "/"))}
	if err := own.rotate(); err != nil {
		panic(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	provider := exampleop.SetupServer(issuer, own, logger, false)
	var fetches atomic.Int64
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case rotatePath:
			if err := own.rotate(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		case countPath:
			fmt.Fprint(w, fetches.Load())
		case keysPath:
			fetches.Add(1)
			provider.ServeHTTP(w, r)
		default:
			provider.ServeHTTP(w, r)
		}
	})
	fmt.Println(issuer)
	if err := http.Serve(listener, served); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
