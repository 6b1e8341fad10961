// Stand-in for nodeadm: it does with proxies what nodeadm does (awslabs/amazon-eks-ami, nodeadm/).
//
//	nodeadm NODECONFIG URL
//
// It takes over the variables of spec.instance.environment.default, queries the metadata service by
// plain http, and then URL, in the place of the EC2 API.  Both use the proxy of the environment.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const metadata = "http://169.254.169.254/latest/"

// setDefaults reads the lines "KEY: VALUE" below "default:", as the test's NodeConfig has them.
func setDefaults(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	inside, indent := false, 0
	for _, line := range strings.Split(string(text), "\n") {
		depth := len(line) - len(strings.TrimLeft(line, " "))
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case name == "default:":
			inside, indent = true, depth
		case inside && depth > indent && value != "":
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		case depth <= indent:
			inside = false
		}
	}
	return nil
}

func request(client *http.Client, method, url, header, value string) (string, error) {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", "nodeadm")
	if header != "" {
		request.Header.Set(header, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return string(body), err
}

func main() {
	err := setDefaults(os.Args[1])
	client := &http.Client{Timeout: 10 * time.Second} // its transport obeys ProxyFromEnvironment
	token, id := "", ""
	if err == nil {
		token, err = request(client, http.MethodPut, metadata+"api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	}
	if err == nil {
		id, err = request(client, http.MethodGet, metadata+"meta-data/instance-id", "X-aws-ec2-metadata-token", token)
	}
	if err == nil {
		_, err = request(client, http.MethodGet, os.Args[2], "", "")
	}
	if err != nil {
		fmt.Println("nodeadm failed:", err)
		os.Exit(1)
	}
	fmt.Println("nodeadm joined:", id)
}
