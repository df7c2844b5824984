// Loads a compose file as Docker Compose does (interpolation, anchors, its schema) and prints it as JSON. Needs no daemon.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("give a compose file and a profile"))
	}
	options, err := cli.NewProjectOptions([]string{os.Args[1]}, cli.WithProfiles([]string{os.Args[2]}), cli.WithResolvedPaths(true))
	if err != nil {
		fail(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(project); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
