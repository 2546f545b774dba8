// Command fleet is a client of Drover's public API: it lists devices, reads and executes resources, and follows the
// events of the fleet.
//
// The package in gen is generated from the .proto files; README.md tells how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	drover "drover.dev/examples/go/gen/drover/v1"
)

// patience is the longest wait for an answer.
const patience = time.Minute

func main() {
	api := flag.String("api", "127.0.0.1:7443", "HOST:PORT of state nodes, with commas between them")
	tokenFile := flag.String("token-file", "seen.token", "where watch keeps how far it has come")
	pageSize := flag.Uint("page-size", 100, "devices in a page of list")
	argument := flag.String("argument", "", "argument of execute")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: fleet [flags] list | read ENDPOINT PATH | execute ENDPOINT PATH | watch")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	addresses := strings.Split(*api, ",")
	if err := run(ctx, addresses, *tokenFile, uint32(*pageSize), *argument); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err, reason(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, addresses []string, tokenFile string, pageSize uint32, argument string) error {
	command, arguments := flag.Arg(0), flag.Args()
	if command == "watch" {
		progress, err := readProgress(tokenFile)
		if err != nil {
			return err
		}
		return watch(ctx, addresses, progress, printEvent)
	}
	connection, err := connect(addresses[0])
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch {
	case command == "list":
		return list(ctx, connection, pageSize)
	case command == "read" && len(arguments) == 3:
		return read(ctx, connection, arguments[1], arguments[2])
	case command == "execute" && len(arguments) == 3:
		return executeOnce(ctx, connection, arguments[1], arguments[2], argument)
	}
	flag.Usage()
	return errors.New("no such command")
}

func connect(address string) (*grpc.ClientConn, error) {
	// A node that is gone without a word is noticed by its silence.
	silence := keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(silence))
}

// list prints all registered devices, which it asks for a page at a time.
func list(ctx context.Context, connection *grpc.ClientConn, pageSize uint32) error {
	devices := drover.NewDevicesClient(connection)
	request := &drover.ListDevicesRequest{PageSize: pageSize}
	for {
		page, err := devices.ListDevices(ctx, request)
		if err != nil {
			return err
		}
		for _, device := range page.Devices {
			fmt.Println(device.Endpoint, device.Transport, device.Peer)
		}
		if page.NextPageToken == "" {
			return nil
		}
		request.PageToken = page.NextPageToken
	}
}

// read prints the values at a path, asked of the device.
func read(ctx context.Context, connection *grpc.ClientConn, endpoint, path string) error {
	operations := drover.NewOperationsClient(connection)
	answer, err := operations.Read(ctx, &drover.ReadRequest{Endpoint: endpoint, Path: path})
	if err != nil {
		return err
	}
	for _, value := range answer.Values {
		fmt.Println(value.Path, valueOf(value.Value))
	}
	return nil
}

// executeOnce executes a resource. It asks twice, as after a lost answer: the same request id is the same operation.
func executeOnce(ctx context.Context, connection *grpc.ClientConn, endpoint, path, argument string) error {
	operations := drover.NewOperationsClient(connection)
	request := &drover.ExecuteRequest{
		Endpoint:  endpoint,
		Path:      path,
		Arguments: argument,
		Delivery:  &drover.Delivery{RequestId: requestID()},
	}
	for range 2 {
		answer, err := operations.Execute(ctx, request)
		if err != nil {
			return err
		}
		fmt.Println(answer.Operation.Id, answer.Operation.State)
	}
	return nil
}

// printEvent prints an event as a JSON object.
func printEvent(event *drover.Event) error {
	line := map[string]any{"endpoint": event.Endpoint, "event": kindOf(event)}
	if reported := event.GetValuesReported(); reported != nil {
		values := [][]any{}
		for _, value := range reported.Values {
			values = append(values, []any{value.Path, valueOf(value.Value)})
		}
		line["values"] = values
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = io.WriteString(os.Stdout, string(text)+"\n")
	return err
}
