# An AMI of an EKS worker node behind the proxy:
#   packer init . && packer build -var rpm=../../dist/NAME.rpm -var base_ami=ami-... -var region=eu-west-1 .

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.6"
    }
  }
}

variable "rpm" {
  type        = string
  description = "The package that `make rpm` built for the Python version of base_ami."
}

variable "base_ami" {
  type        = string
  description = "An EKS-optimized AMI; the SSM parameter of the latest: /aws/service/eks/optimized-ami/VERSION/amazon-linux-2023/x86_64/standard/recommended/image_id"
}

variable "region" {
  type = string
}

source "amazon-ebs" "node" {
  region        = var.region
  source_ami    = var.base_ami
  instance_type = "t3.small"
  ssh_username  = "ec2-user"
  ami_name      = "eks-node-behind-proxy-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  # Instances of this AMI require tokens for the metadata service (IMDSv2); the agent supports only these.
  imds_support = "v2.0"
}

build {
  sources = ["source.amazon-ebs.node"]

  provisioner "file" {
    source      = var.rpm
    destination = "/tmp/eks-proxy-agent.rpm"
  }

  provisioner "file" {
    source      = "${path.root}/config.toml"
    destination = "/tmp/config.toml"
  }

  # Packer runs these with `sh -e`: the first failure stops the build.  `bake` fails if the settings are wrong.
  provisioner "shell" {
    inline = [
      "sudo yum install -y /tmp/eks-proxy-agent.rpm",
      "sudo install -m 0644 /tmp/config.toml /etc/eks-proxy-agent/config.toml",
      # Writes the files that do not depend on the instance, so that no node has to reload systemd.  Starts nothing.
      "sudo eks-proxy-agent bake",
      # Add your own steps here.  If they need the proxy: sudo eks-proxy-agent apply
      # Last step before the snapshot: removes everything that belongs to this builder.
      "sudo eks-proxy-agent clean",
      "rm /tmp/eks-proxy-agent.rpm /tmp/config.toml",
    ]
  }
}
