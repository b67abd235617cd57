// Command server runs tusd's own handler, store of files and HTTP hooks, without the stores of clouds: those take minutes to build.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/tus/tusd/v2/pkg/filelocker"
	"github.com/tus/tusd/v2/pkg/filestore"
	tusd "github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/hooks"
	hookhttp "github.com/tus/tusd/v2/pkg/hooks/http"
)

func main() {
	folder := flag.String("upload-dir", "./data", "as tusd's")
	endpoint := flag.String("hooks-http", "", "as tusd's")
	flag.Parse()
	composer := tusd.NewStoreComposer()
	filestore.New(*folder).UseIn(composer)
	filelocker.New(*folder).UseIn(composer)
	config := tusd.Config{BasePath: "/files/", StoreComposer: composer}
	hook := &hookhttp.HttpHook{
		Endpoint: *endpoint, MaxRetries: 3, Backoff: time.Second, Timeout: 15 * time.Second, SizeLimit: 5120,
	}
	handler, err := hooks.NewHandlerWithHooks(&config, hook, []hooks.HookType{hooks.HookPreCreate, hooks.HookPostFinish})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/files/", http.StripPrefix("/files/", handler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/files/\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
