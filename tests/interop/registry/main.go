// A registry of go-containerregistry in memory, and what pushes to one.
//
//	registry serve ADDRESS
//	registry push HOST/REPOSITORY:TAG FILE [ANNOTATION=VALUE]
//
// push makes the file the one layer of an artefact and prints the digest of its manifest.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func push(to, file string, annotations map[string]string) error {
	reference, err := name.NewTag(to)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	layer := static.NewLayer(content, types.MediaType("application/octet-stream"))
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, Annotations: annotations})
	if err != nil {
		return err
	}
	if err := remote.Write(reference, image); err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 2 && arguments[0] == "serve":
		return http.ListenAndServe(arguments[1], registry.New())
	case len(arguments) >= 3 && arguments[0] == "push":
		annotations := map[string]string{}
		for _, annotation := range arguments[3:] {
			key, value, _ := strings.Cut(annotation, "=")
			annotations[key] = value
		}
		return push(arguments[1], arguments[2], annotations)
	default:
		return errors.New("registry serve ADDRESS, or registry push HOST/REPOSITORY:TAG FILE [ANNOTATION=VALUE]")
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
