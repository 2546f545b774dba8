package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	drover "drover.dev/examples/go/gen/drover/v1"
)

// Between attempts to go on with a watch: the first, doubled each time up to the last.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// progress is the token of the last event that was handled, in a file.
type progress struct {
	file  string
	token string
}

func readProgress(file string) (*progress, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &progress{file: file, token: strings.TrimSpace(string(text))}, nil
}

// keep replaces the file in one step: who is killed leaves the token before, or this one.
func (p *progress) keep(token string) error {
	next := p.file + ".new"
	if err := os.WriteFile(next, []byte(token+"\n"), 0o600); err != nil {
		return err
	}
	p.token = token
	return os.Rename(next, p.file)
}

// watch follows the events until ctx ends, at one node or another.
func watch(ctx context.Context, addresses []string, seen *progress, handle func(*drover.Event) error) error {
	pause := firstPause
	for attempt := 0; ctx.Err() == nil; attempt++ {
		before := seen.token
		err := follow(ctx, addresses[attempt%len(addresses)], seen, handle)
		switch why := reason(err); {
		case why == "RESUME_TOKEN_EXPIRED":
			// Too much has happened since: begin again with the devices as they are.
			seen.token = ""
		case !goesOn(err):
			return err
		}
		fmt.Fprintln(os.Stderr, "watch interrupted, going on:", err)
		if seen.token != before {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

// follow handles events until the watch at a node ends. What was handled and not kept comes again.
func follow(ctx context.Context, address string, seen *progress, handle func(*drover.Event) error) error {
	connection, err := connect(address)
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := drover.NewDevicesClient(connection).WatchEvents(ctx, &drover.WatchEventsRequest{
		ResumeToken: seen.token,
		// Without a token the devices as they are come first.
		IncludeInitial: true,
	})
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		if message.Event != nil {
			if err := handle(message.Event); err != nil {
				return err
			}
		}
		if err := seen.keep(message.ResumeToken); err != nil {
			return err
		}
	}
}

// goesOn tells whether another attempt may fare better. What is no answer of the API is this program's own trouble.
func goesOn(err error) bool {
	answer, ok := status.FromError(err)
	if !ok {
		return false
	}
	return answer.Code() != codes.InvalidArgument && answer.Code() != codes.Unimplemented
}

// reason is what went wrong, for programs: the reason in the ErrorInfo of an error, if it has one.
func reason(err error) string {
	answer, _ := status.FromError(err)
	for _, detail := range answer.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return ""
}
